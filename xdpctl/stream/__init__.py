# SPDX-License-Identifier: GPL-2.0-or-later
"""The stream of live events: one producer, and any number of readers.

It may import incidents, series, control, datapath, model, base and abi.
"""
