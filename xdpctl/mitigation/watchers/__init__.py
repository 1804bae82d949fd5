# SPDX-License-Identifier: GPL-2.0-or-later
"""Background checks of automatic rules and lists: ladders, releases, trials, and whom lists hit."""
