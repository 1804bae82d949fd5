# SPDX-License-Identifier: GPL-2.0-or-later
"""What looks at automatic rules while they stand: the next step of a ladder, the release."""
