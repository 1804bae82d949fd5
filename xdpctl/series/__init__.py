# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures over time: recorded each second into files of a fixed size, and read back.

It may import traffic, control, datapath, model, base and abi.
"""
