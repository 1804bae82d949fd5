# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures beside a bare drop, xdp-filter and nft: `python -m bench`, as root.

Three parts, all in network namespaces of their own: what the filter costs a packet, what one
core drops over a veth pair, and how fast rules and sets get in. Everything is compared within one
run, in rounds that take each case in turn, because nanoseconds of two runs are not comparable on
a machine that is shared. Prints tables and writes bench.json with every round's raw figure; a
missed bar is shown and does not change the exit status. `bench.report.plots` draws that file, and
`bench.report.page` puts its tables into docs/results/performance.md, which says what they mean.
"""
