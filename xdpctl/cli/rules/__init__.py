# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for rules: add, list, change, remove, import, export, observe in monitor mode."""
