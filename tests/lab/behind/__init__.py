# SPDX-License-Identifier: GPL-2.0-or-later
"""Logged-in users behind a bridge, behind a router, or on the box itself, during floods."""
