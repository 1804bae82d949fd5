# SPDX-License-Identifier: GPL-2.0-or-later
"""The datapath: pinned maps, plans of writes to them, and the port that `control` uses.

`plan` is pure. Imports model, base and abi.
"""
