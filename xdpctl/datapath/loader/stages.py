# SPDX-License-Identifier: GPL-2.0-or-later
"""A program with those it tail-calls: loaded together, so a packet never meets two versions.

The kernel empties an array of programs when nobody holds it any more; a pin holds it, so it
stays for as long as the program may be attached.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from xdpctl.abi.structs import Stage
from xdpctl.datapath.bpf import maps, rcu

_NAME = "stages"


@dataclass(frozen=True, slots=True)
class Staged:
    """The first program's descriptor, and the array of the others, pinned in `directory`."""

    program_fd: int
    array: maps.Map
    directory: Path
    pin: str

    def close(self) -> None:
        """Close the descriptors of the program and of its stages."""
        os.close(self.program_fd)
        self.array.close()

    def retire_others(self) -> None:
        """Once this one is in use: let go of the stages of those before it."""
        others = [path for path in self.directory.iterdir() if path.name.startswith(_NAME)]
        others = [path for path in others if path.name != self.pin]
        if others:
            rcu.wait()  # no packet is still on its way to them
        for path in others:
            path.unlink()


def load_staged(
    load: Callable[[str, int], int],
    shape: maps.MapShape,
    program: str,
    stages: Mapping[Stage, str],
    directory: Path,
) -> Staged:
    """`load(name, stages_fd)` loads one program against the array of stages."""
    array = maps.create_map(_NAME, shape)
    with ThreadPoolExecutor() as pool:  # the verifier takes a third of a second for the largest
        first = pool.submit(load, program, array.fd)
        loaded = {number: pool.submit(load, name, array.fd) for number, name in stages.items()}
    program_fd = first.result()
    for number, future in loaded.items():
        fd = future.result()
        array.put(number.to_bytes(4, "little"), fd.to_bytes(4, "little"))
        os.close(fd)
    pin = f"{_NAME}-{maps.map_id(array.fd)}"
    maps.pin(array.fd, directory / pin)
    return Staged(program_fd, array, directory, pin)
