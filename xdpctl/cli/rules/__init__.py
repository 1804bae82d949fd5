# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for rules: add, list, change, remove; many at once; watching one in monitor mode."""
