# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on matches as lookup tables: from a field's values to classes, from classes to bitmaps.

`compile` is pure; `table` writes to the maps.
"""
