# SPDX-License-Identifier: GPL-2.0-or-later
"""Drops what is blocklisted at line rate, and never its own people."""

__version__ = "0.3.0"
