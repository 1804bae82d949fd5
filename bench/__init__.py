# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks compared with a bare drop, xdp-filter and nft: `python -m bench`, as root.

They measure the filter's cost per packet, the packets that one core drops over a veth pair, and how
fast rules and sets are applied, in separate network namespaces. Comparisons are made within one
run, in rounds that measure each case in turn, because nanoseconds of different runs are not
comparable on a shared machine. The command prints tables and writes bench.json with the raw figures
of every round; a missed bar is shown and does not change the exit status. `bench.report.plots`
draws that file, and `bench.report.page` inserts its tables into docs/results/performance.md, which
explains them.
"""
