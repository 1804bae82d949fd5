# SPDX-License-Identifier: GPL-2.0-or-later
"""A program and those it tail-calls, loaded together so that no packet meets two versions.

The kernel clears a program array when its last descriptor or pin is gone. The array is therefore
pinned for as long as the program may be attached.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdpctl.datapath.bpf import maps, rcu

STAGES_MAP = "stages"


@dataclass(frozen=True, slots=True)
class Staged:
    """The first program's descriptor, and the program array of the others with its pin."""

    program_fd: int
    array: maps.Map
    directory: Path
    pin: str

    def close(self) -> None:
        """Close the descriptors of the program and of the program array."""
        os.close(self.program_fd)
        self.array.close()

    def others(self) -> list[Path]:
        """The pins of earlier programs' arrays."""
        name = self.pin.partition("-")[0]
        pins = [path for path in self.directory.iterdir() if path.name.startswith(name)]
        return [path for path in pins if path.name != self.pin]

    def retire_others(self) -> None:
        """Remove the pins of earlier programs' arrays; call it when this program is attached."""
        others = self.others()
        if others:
            rcu.wait()  # until no packet can still tail-call them
        for path in others:
            path.unlink()


def load_staged(
    load: Callable[[str, int], int],
    shape: maps.MapShape,
    program: str,
    stages: Mapping[Any, str],
    directory: Path,
    map_name: str = STAGES_MAP,
) -> Staged:
    """Load a program and its stages, and pin the program array `map_name` in `directory`.

    `load(name, stages_fd)` loads one program with the program array `stages_fd`.
    """
    with ExitStack() as failing, ExitStack() as ending:
        array = maps.create_map(map_name, shape)
        failing.callback(array.close)
        with ThreadPoolExecutor() as pool:  # verifying the largest takes a third of a second
            first = pool.submit(load, program, array.fd)
            loaded = {number: pool.submit(load, name, array.fd) for number, name in stages.items()}
        for future in loaded.values():
            if not future.exception():
                ending.callback(os.close, future.result())
        program_fd = first.result()
        failing.callback(os.close, program_fd)
        for number, future in loaded.items():
            array.put(number.to_bytes(4, "little"), future.result().to_bytes(4, "little"))
        pin = f"{map_name}-{maps.map_id(array.fd)}"
        maps.pin(array.fd, directory / pin)
        failing.pop_all()  # the caller closes them
    return Staged(program_fd, array, directory, pin)
