# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of network interfaces."""

import socket


def interface_name(index: int) -> str:
    """The name of the interface with this index; `#7` if it is gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"
