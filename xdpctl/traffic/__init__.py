# SPDX-License-Identifier: GPL-2.0-or-later
"""The current traffic: sampled packets of the last minute, and what they have in common.

It may import control, datapath, model, base and abi.
"""
