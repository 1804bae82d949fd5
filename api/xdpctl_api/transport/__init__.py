# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP on two listening sockets: callers, limits on connections, and bodies."""
