# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs for an interface's link layer: what happens if there are none."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.loader import Loader
from xdpctl.errors import AttachError, CompileError
from xdpctl.lab.namespaces import Lab


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_an_interface_whose_programs_cannot_be_had_leaves_the_others_alone(
    pins: Pins, compiled: Compiled
) -> None:
    """A tun comes first, and its filter cannot be compiled; it is not compiled again at once."""
    tried = []

    def compile_for(layer: LinkLayer) -> tuple[Compiled, Compiled | None]:
        tried.append(layer)
        raise CompileError("no compiler")

    with Lab("layers") as lab:
        host = lab.host("box")
        host.ip("tuntap add dev tun0 mode tun")
        host.ip("link add in0 type veth peer name far0")
        with closing(Loader(pins, compiled, compile_for=compile_for)) as made:
            for name in ("tun0", "in0"):
                made.add_port(name)
            descriptors = open_descriptors()
            for _ in range(3):
                host.call(made.reconcile)
            assert open_descriptors() == descriptors
            assert made.ports["tun0"].state == "failed"
            assert "there is no filter for such frames: no compiler" in made.ports["tun0"].detail
            assert made.ports["in0"].state == "attached"
            assert tried == [LinkLayer.NONE]


def test_programs_that_the_kernel_refuses_leave_no_descriptors(
    pins: Pins, compiled: Compiled
) -> None:
    broken = replace(compiled.programs["quic"], instructions=bytes(8), references=())
    refused = replace(compiled, programs={**compiled.programs, "quic": broken})
    with closing(Loader(pins, compiled, compile_for=lambda _: (refused, None))) as made:
        port = made.add_port("in0")
        descriptors = open_descriptors()
        for _ in range(2):
            with pytest.raises(AttachError, match="the kernel did not load the program quic"):
                made.interfaces.fit(port, LinkLayer.NONE)
        assert open_descriptors() == descriptors
        assert port.layer is LinkLayer.ETHERNET
