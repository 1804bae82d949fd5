# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a detector's events into rules, within guards and rate limits.

Imports incidents, detectors and the layers below.
"""
