# SPDX-License-Identifier: GPL-2.0-or-later
"""Root's half: compiles the programs, attaches them to interfaces, and repairs what others change.

The only importers of bcc (`compiler`) and pyroute2 (`netlink`).
"""
