# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is logged in behind a bridge, behind a router, or on the box itself, through floods."""
