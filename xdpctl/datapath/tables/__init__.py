# SPDX-License-Identifier: GPL-2.0-or-later
"""The source table in the memory of its maps: cells, filters in front of them, lists of slots.

Every write is one aligned store. `bpf/cells.h` has the reader.
"""
