# SPDX-License-Identifier: GPL-2.0-or-later
"""The generator's walk, which can also tail-call programs that another tool has loaded."""

import ctypes
import struct
from contextlib import suppress

from bench.errors import BenchError
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.programs import PROG_LOAD, XDP
from xdpctl.datapath.bpf.syscall import address_of, bpf
from xdpctl.lab.flood import Generator

_BPF_XDP = 37  # the attach type that libxdp loads its programs for; ours have none


class Walks:
    """Two walks: a program can only tail-call programs that were loaded with the same options."""

    def __init__(self, generator: Generator) -> None:
        compiled = generator.compiled
        self._second = maps.create_map("tested", compiled.maps["tested"])
        fds = {name: table.fd for name, table in generator.maps.items()}
        fds["tested"] = self._second.fd
        second_fd = _load_as_libxdp(compiled.programs["walk"].linked(fds))
        self._walks = (
            (generator.maps["tested"], generator.walk_fd),
            (self._second, second_fd),
        )

    def over(self, program_fd: int) -> int:
        """Set the program under test; the descriptor of the walk to run."""
        for tested, walk_fd in self._walks:
            with suppress(OSError):
                tested.put(bytes(4), program_fd.to_bytes(4, "little"))
                return walk_fd
        raise BenchError("no walk can tail-call this program")


def _load_as_libxdp(instructions: bytes) -> int:
    """Load a walk as libxdp loads programs: with its attach type, and without jumbo frames."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = struct.pack(
        "<IIQQIIQII16sII",
        *(XDP, len(instructions) // 8, address_of(code), address_of(licence)),
        *(0, 0, 0, 0, 0, b"walk", 0, _BPF_XDP),
    )
    return bpf(PROG_LOAD, attr, "load the walk")[0]
