# SPDX-License-Identifier: GPL-2.0-or-later
"""The error of a failed measurement."""

from xdpctl.errors import XdpctlError


class BenchError(XdpctlError):
    """A measurement failed, or its result would be wrong."""
