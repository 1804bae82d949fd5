# SPDX-License-Identifier: GPL-2.0-or-later
"""Background checks of automatic rules: the next step of a ladder, and the release."""
