# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures harm to people with and without an attack, and attacks that get around the product."""
