# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader, which runs as root: compiles the programs, attaches them, and keeps them attached.

Only this package imports bcc (`compiler`) and pyroute2 (`netlink`).
"""
