# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls: maps, programs, ring buffers, pins, grace periods.

Nothing here knows what a map means. Imports base and errors.
"""
