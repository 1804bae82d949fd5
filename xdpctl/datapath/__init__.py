# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's half: pinned maps, plans of writes to them, the port that control uses.

`plan` and `set_plan` are pure. Imports model, base and abi.
"""
