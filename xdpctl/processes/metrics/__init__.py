# SPDX-License-Identifier: GPL-2.0-or-later
"""What Prometheus scrapes, read anew for each scrape."""

from xdpctl.processes.metrics.registry import exposition

__all__ = ["exposition"]
