# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for sets, their lists, and sets of countries."""
