# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv6 behind a bridge: a gateway with an address of the protected network is found."""

import subprocess
from contextlib import closing

from tests.lab.behind.places import CLIENTS6, SERVER6, SETTINGS6, place
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.namespaces import Host

_GATEWAY = "2001:db8:1::fe"


def _reaches(host: Host, source: str, to: str) -> bool:
    words = ("ping", "-q", "-c", "1", "-W", "2", "-I", source, to)
    return host.popen(*words, stdout=subprocess.DEVNULL).wait() == 0


def test_hosts_of_the_protected_network_find_their_gateway_outside() -> None:
    """The gateway sends advertisements and solicitations from that address (RFC 4861)."""
    with (
        closing(Generator(compile_generator())) as generator,
        place("bridge", generator.pass_fd) as here,
    ):
        box = Box(here.box, ["out0"])
        box.detects, box.settings = False, SETTINGS6
        try:
            box.start()
            here.add_six()
            assert _reaches(here.server, SERVER6, CLIENTS6[0])
            assert _reaches(here.world, CLIENTS6[1], SERVER6)
            assert not _reaches(here.world, _GATEWAY, SERVER6), (
                "otherwise the source counts as spoofed"
            )
            here.server.ip("-6 neigh flush dev eth0")
            assert _reaches(here.server, SERVER6, CLIENTS6[0])
        finally:
            box.remove()
