# SPDX-License-Identifier: GPL-2.0-or-later
"""Web servers on hosts of a lab, clients with curl, and a box that runs for a while."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from xdpctl.base.system.children import python
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host


@contextmanager
def serving(*hosts: Host) -> Iterator[None]:
    """A web server on port 80 of each host, for a block."""
    servers = [host.popen(*python("xdpctl.lab.webserver")) for host in hosts]
    try:
        yield
    finally:
        for server in servers:
            server.terminate()
            server.wait()


@contextmanager
def running(box: Box) -> Iterator[Box]:
    """A box that is started, and removed when the block ends."""
    try:
        box.start()
        yield box
    finally:
        box.remove()


def fetched(host: Host, to: str, seconds: float = 3.0, *options: str) -> bool:
    """Whether curl gets the page."""
    curl = ("curl", "--silent", "--max-time", str(seconds), "--output", "/dev/null")
    return host.popen(*curl, *options, f"http://{to}/", stderr=subprocess.DEVNULL).wait() == 0
