# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a packet's nanoseconds go, and how its cost grows with what is in force."""
