# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP on two listening sockets: who a caller is, how many connections there may be, bodies."""
