# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens, as it happens: one producer of events, and any number of readers.

It may import incidents, series, control, datapath, model, base and abi.
"""
