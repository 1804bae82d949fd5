# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of modules, which the loader keeps the filter to, as `xdpctl module` changes them."""

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xdpctl.abi.arrays import MODULE_COUNTS
from xdpctl.base.system.owned_folder import Owned
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.module_source import BYTES_MOST, SUFFIX
from xdpctl.errors import ConfigError, DatapathError

_SECONDS, _LOOK_SECONDS = 30.0, 0.1  # until the loader has taken a change over


class Counts(NamedTuple):
    """What a module has said; `ns` is the mean of the packets that were timed, None before one."""

    name: str
    packets: int
    dropped: int
    challenged: int
    nonsense: int
    ns: float | None
    ended: bool


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """The folder of the files, and the filter in force."""

    directory: Path
    pins: Pins

    def has(self, name: str) -> bool:
        """Whether there is a module, in the filter or as a file."""
        return bool(self._pinned(name)) or (self.directory / f"{name}{SUFFIX}").exists()

    def install(self, name: str, data: bytes) -> bytes | None:
        """Write a module, and wait until the filter has it; what the file was before.

        ConfigError if it cannot be written, DatapathError if the filter does not take it; then the
        file is as before.
        """
        with Owned(self.directory) as folder:
            try:
                before = folder.read(name + SUFFIX, BYTES_MOST)
            except FileNotFoundError:
                before = None
            held = self._pinned(name)
            if before == data and held and not self._ended(name):
                return before
            try:
                folder.replace(name + SUFFIX, data, 0o644)
            except OSError as error:
                raise ConfigError(f"cannot write {folder.path}: {error.strerror}") from error
        if _wait(lambda: self._pinned(name) not in (0, held)):
            return before
        self._write(name, before)
        raise DatapathError(
            f"the filter does not have {name} after {_SECONDS:.0f} s: is `xdpctl run` running? "
            "Its log says why. Nothing was changed"
        )

    def put_back(self, name: str, before: bytes | None) -> None:
        """Write what a file was before, or remove it, and wait until the filter is without it."""
        self._write(name, before)
        if before is None and not _wait(lambda: not self._pinned(name)):
            raise DatapathError(f"the filter still has {name}: is `xdpctl run` running?")

    def _write(self, name: str, content: bytes | None) -> None:
        with Owned(self.directory) as folder:
            if content is not None:
                folder.replace(name + SUFFIX, content, 0o644)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(name + SUFFIX, dir_fd=folder.fd)

    def _pinned(self, name: str) -> int:
        """The id of the counts of a module in the filter, which differs for each load; 0: none."""
        number = self.pins.modules().get(name)
        with suppress(OSError):
            return 0 if number is None else maps.map_id_at(self.pins.module(number, name))
        return 0

    def _ended(self, name: str) -> bool:
        return any(of.name == name and of.ended for of in self.counts())

    def counts(self) -> list[Counts]:
        """What each module of the filter has said, by name."""
        found = []
        for name, number in sorted(self.pins.modules().items()):
            with closing(maps.open_map(self.pins.module(number, name))) as held:
                per_cpu = np.frombuffer(held.get(bytes(4)) or b"", MODULE_COUNTS)
            packets, dropped, challenged, nonsense, timed, ns = (
                int(per_cpu[of].sum())
                for of in ("packets", "dropped", "challenged", "nonsense", "timed", "timed_ns")
            )
            mean = round(ns / timed, 1) if timed else None
            ended = bool(per_cpu["ended"].any())
            found.append(Counts(name, packets, dropped, challenged, nonsense, mean, ended))
        return found


def _wait(done: Callable[[], bool]) -> bool:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(_LOOK_SECONDS)
    return False
