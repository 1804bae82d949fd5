# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures as tables: each field's values to classes, classes to bitmaps.

`compile` is pure; `table` writes to the maps.
"""
