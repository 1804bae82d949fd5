# SPDX-License-Identifier: GPL-2.0-or-later
"""The generator's walk, in front of programs that somebody else loaded as well."""

import ctypes
import struct
from contextlib import suppress

from bench.errors import BenchError
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.maps import address_of
from xdpctl.datapath.bpf.programs import PROG_LOAD, PROG_TYPE_XDP
from xdpctl.lab.flood import Generator

_BPF_XDP = 37  # the attach type that libxdp loads its programs for; ours have none


class Walks:
    """A tail call goes only to programs that were loaded as its own was, so there are two walks."""

    def __init__(self, generator: Generator) -> None:
        compiled = generator.compiled
        self._second = maps.create_map("tested", compiled.maps["tested"])
        fds = {name: held.fd for name, held in generator.maps.items()}
        fds["tested"] = self._second.fd
        second_fd = _load_as_libxdp(compiled.programs["walk"].linked(fds))
        self._walks = (
            (generator.maps["tested"], generator.walk_fd),
            (self._second, second_fd),
        )

    def over(self, program_fd: int) -> int:
        """Put a program under test; the descriptor of the walk to run."""
        for tested, walk_fd in self._walks:
            with suppress(OSError):
                tested.put(bytes(4), program_fd.to_bytes(4, "little"))
                return walk_fd
        raise BenchError("no walk may call this program")


def _load_as_libxdp(instructions: bytes) -> int:
    """Without jumbo frames, for the attach type that libxdp gives."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = struct.pack(
        "<IIQQIIQII16sII",
        *(PROG_TYPE_XDP, len(instructions) // 8, address_of(code), address_of(licence)),
        *(0, 0, 0, 0, 0, b"walk", 0, _BPF_XDP),
    )
    return maps.bpf(PROG_LOAD, attr, "load the walk")[0]
