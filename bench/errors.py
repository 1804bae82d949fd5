# SPDX-License-Identifier: GPL-2.0-or-later
"""What stops a figure from being taken."""

from xdpctl.errors import XdpctlError


class BenchError(XdpctlError):
    """A figure could not be taken, or would not have been true."""
