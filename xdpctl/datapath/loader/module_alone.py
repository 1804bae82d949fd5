# SPDX-License-Identifier: GPL-2.0-or-later
"""A module alone, with maps of its own: it is asked about frames, and no packet meets it."""

import os
import secrets
import statistics
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Self

import numpy as np

from xdpctl.abi.arrays import CHALLENGE
from xdpctl.abi.constants import ModuleVerdict
from xdpctl.abi.sizes import ASKED_SHIFT
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.loader.compiler import SHARED, Compiled
from xdpctl.datapath.loader.filter_program import MODULE_PROGRAMS
from xdpctl.datapath.loader.module_source import ALONE, PROGRAM, WITHOUT
from xdpctl.errors import DatapathError

_REPEAT, _ROUNDS = 20_000, 5


class ModuleAlone:
    """Loads the programs of a module; DatapathError with the verifier's words if it refuses one."""

    def __init__(self, compiled: Compiled) -> None:
        with ExitStack() as ending:
            fds = {}
            for name in sorted({of for p in compiled.programs.values() for _, of in p.references}):
                if name != SHARED:
                    made = maps.create_map(name, compiled.maps[name])
                    ending.callback(made.close)
                    fds[name] = made.fd
                    if name == "challenges":
                        key = np.frombuffer(made.memory(), CHALLENGE)[0]["key"]
                        key[:] = [secrets.randbits(64) for _ in key]
            self._programs = {}
            for name in MODULE_PROGRAMS:
                try:
                    fd = programs.load(name, compiled.programs[name].linked(fds))
                except OSError as error:
                    raise DatapathError(f"the kernel refuses it: {error.strerror}") from error
                ending.callback(os.close, fd)
                self._programs[name] = fd
            self._ending = ending.pop_all()
        self._runner = programs.Runner(self._programs[ALONE])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @property
    def instructions(self) -> int:
        """How many instructions the verifier has walked through for the program in the filter."""
        return programs.walked(self._programs[PROGRAM])

    def ask(self, frame: bytes) -> ModuleVerdict | None:
        """The verdict on a frame; None if the filter would not ask about it."""
        verdict = self._runner.run(frame) >> ASKED_SHIFT
        return ModuleVerdict(verdict) if verdict else None

    def nanoseconds(self, frames: Iterable[bytes]) -> float:
        """What it adds to a packet, of these frames the one that takes longest."""
        return max(self._added(frame) for frame in frames)

    def _added(self, frame: bytes) -> float:
        """The median of rounds that ask the module, and do the same without it, in turn."""
        added = []
        for _ in range(_ROUNDS):
            took = [
                programs.run(self._programs[name], frame, _REPEAT).duration_ns
                for name in (ALONE, WITHOUT)
            ]
            added.append(took[0] - took[1])
        return max(statistics.median(added), 0.0)


def made_frames() -> Iterator[bytes]:
    """Datagrams that begin in different ways."""
    for payload in (bytes(100), b"\xff" * 100, bytes(range(100))):
        udp = bytes.fromhex("1f401e61") + (8 + len(payload)).to_bytes(2) + bytes(2) + payload
        ip = bytes.fromhex("4500") + (20 + len(udp)).to_bytes(2) + bytes.fromhex("0000400040110000")
        yield bytes(12) + b"\x08\x00" + ip + bytes.fromhex("c6336401cb007101") + udp
