# SPDX-License-Identifier: GPL-2.0-or-later
"""The source table in the memory of its maps: cells, filters before them, and lists of slots.

Every write is one aligned store. The reader is in `bpf/source.bpf.h` and `bpf/cells.h`.
"""
