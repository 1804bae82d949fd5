# SPDX-License-Identifier: GPL-2.0-or-later
"""The current rules and sets (`state`), staged changes (`draft`), and entries by address."""
