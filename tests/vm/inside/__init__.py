# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that make sense inside a virtual machine alone."""
