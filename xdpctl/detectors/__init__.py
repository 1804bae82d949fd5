# SPDX-License-Identifier: GPL-2.0-or-later
"""What detectors report: each format becomes events, and nothing is decided here.

Imports model and what is below.
"""
