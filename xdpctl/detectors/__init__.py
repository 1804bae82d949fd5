"""What detectors report: each format becomes events, and nothing is decided here.

Imports control and what is below.
"""
