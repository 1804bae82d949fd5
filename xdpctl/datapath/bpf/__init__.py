# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrappers of system calls: maps, programs, ring buffers, pins, grace periods.

Nothing here depends on the content of a map. Imports base and errors.
"""
