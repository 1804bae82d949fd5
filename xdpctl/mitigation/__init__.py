"""What is done about an event: from a detector's body to rules, within guards and rate limits.

Imports incidents, detectors and what is below.
"""
