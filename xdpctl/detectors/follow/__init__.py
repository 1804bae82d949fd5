# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads from detectors that do not post events: a growing file, an API, or standard input."""
