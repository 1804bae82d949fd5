# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done about an event: from a detector's body to rules, within guards and rate limits.

Imports incidents, detectors and what is below.
"""
