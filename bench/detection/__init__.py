# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how well the embedded detector detects: synthetic, recorded and live attacks."""
