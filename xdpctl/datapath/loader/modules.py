# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules: programs of one's own that matches ask, compiled from C files that only root writes.

A module's number is its place behind the stages in each interface's program array. Its counts are
pinned at a path with number and name, so all versions and processes know it. If a file does not
compile, the program before stays; without one, its matches take no packet, and traffic passes.
A file that is not signed by one who may has no program: the one before is taken out. So is one
whose signers have changed since, whatever keeps its file from being checked, as another user may
write it.
"""

import logging
import math
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xdpctl.abi.arrays import MODULE_COUNTS
from xdpctl.abi.constants import Stage
from xdpctl.abi.sizes import MODULES_MAX
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.bpffs import share
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.layered_programs import LayeredPrograms
from xdpctl.datapath.loader.module_source import (
    COUNTS,
    KEPT,
    PROGRAM,
    Places,
    Sources,
    compile_module,
    is_cached,
    opened,
)
from xdpctl.datapath.loader.stages import Staged
from xdpctl.errors import DatapathError, SignatureError, ToolError, XdpctlError

_TOLD_MOST, _AGAIN_SECONDS = 500, 60.0
_LOOK_SECONDS = 1.0  # after which a look leaves the other files to the next one
log = logging.getLogger("xdpctl.modules")


@dataclass(slots=True)
class Module:
    """A module that is loaded: its number, its maps, and its program, for all interfaces.

    `signers` are those it was checked by. `ended` says that it took itself out, because it was too
    slow.
    """

    name: str
    number: int
    signers: bytes | None
    compiled: Compiled
    counts: Map
    kept: Map | None
    ended: bool = False

    @property
    def place(self) -> bytes:
        """The key of its program in the program array of an interface."""
        return place_of(self.number)

    def close(self) -> None:
        for held in (self.counts, self.kept):
            if held:
                held.close()


def place_of(number: int) -> bytes:
    """The key of a module's program in the program array of an interface."""
    return (len(Stage) + number).to_bytes(4, "little")


@dataclass(slots=True)
class Modules:
    """The modules of one filter, kept as the files in `places` are."""

    pins: Pins
    places: Places
    group: int
    programs: LayeredPrograms
    cache: Path | None = None  # a file beside those of compiled modules
    problems: dict[str, str] = field(default_factory=dict)  # by name, why one does not run
    _loaded: dict[str, Module] = field(default_factory=dict)
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _again: dict[str, float] = field(default_factory=dict)  # when one is tried again
    _latest: int = -1  # number that was given

    def close(self) -> None:
        """Close the descriptors; what is pinned, or in a program array, stays."""
        for module in self._loaded.values():
            module.close()
        self._loaded.clear()

    def put_into(self, staged: Staged, followed: Kin | None) -> None:
        """Put the programs of all modules into an interface's program array.

        The filter is needed without them, too: one that cannot be loaded is tried again later.
        """
        for name, module in self._loaded.items():
            if module.ended:
                continue
            try:
                fd = self._load(module, staged, followed)
            except (DatapathError, OSError) as error:
                self._fail(name, f"it is not on every interface: {error}", again=True)
                continue
            try:
                staged.array.put(module.place, fd.to_bytes(4, "little"))
            finally:
                os.close(fd)

    def _load(self, module: Module, staged: Staged, followed: Kin | None) -> int:
        own = {COUNTS: module.counts.fd, "stages": staged.array.fd}
        if module.kept:
            own[KEPT] = module.kept.fd
        return self.programs.load(module.compiled.programs[PROGRAM], own, followed)

    def look(self, arrays: Iterable[tuple[Staged, Kin | None]], at_start: bool = False) -> None:
        """Take over what has changed in the folder, and take out modules that were too slow.

        At most one file is compiled, and none `at_start`, so that the filter need not wait.
        """
        arrays = list(arrays)
        try:
            for module in self._loaded.values():
                self._judge(module, arrays)
            with opened(self.places) as files:
                self._follow(files, arrays, at_start)
            self._note("", "")
        except (XdpctlError, OSError) as error:
            self._note("", str(error))

    def _follow(
        self, files: Sources, arrays: list[tuple[Staged, Kin | None]], cached: bool
    ) -> None:
        """Bring the filter to the files, as far as that is possible now."""
        present, now = files.names(), time.monotonic()
        for name in {*self.pins.modules(), *self._loaded, *self._seen} - present.keys():
            self._remove(name, arrays)
        # no number of changed files puts off that a module whose signer may no more is taken out
        for name in sorted(present, key=lambda name: not self._outdated(name, files)):
            about = present[name]
            if self._seen.get(name) == about and now < self._again.get(name, math.inf):
                continue
            compiled = self._take(name, about, files, arrays, cached)
            if compiled or time.monotonic() > now + _LOOK_SECONDS:
                return

    def _outdated(self, name: str, files: Sources) -> bool:
        """Whether a module that is loaded was checked by other signers than there are now."""
        module = self._loaded.get(name)
        return module is not None and module.signers != files.signers

    def _judge(self, module: Module, arrays: Iterable[tuple[Staged, Kin | None]]) -> None:
        counts = np.frombuffer(module.counts.get(bytes(4)) or b"", MODULE_COUNTS)
        if module.ended or not counts["ended"].any():
            return
        module.ended = True
        mean = counts["timed_ns"].sum() / max(int(counts["timed"].sum()), 1)
        for staged, _ in arrays:
            staged.array.delete(module.place)
        self._note(
            module.name, f"it was too slow and was taken out: {mean:,.0f} ns a packet on average"
        )

    def _note(self, name: str, problem: str) -> None:
        """Note what is wrong with a module, or with the folder; "" if nothing is."""
        problem = problem[:_TOLD_MOST]
        if problem and self.problems.get(name) != problem:
            log.error("%s: %s", name or self.places.own, problem)
        if problem:
            self.problems[name] = problem
        else:
            self.problems.pop(name, None)

    def _fail(self, name: str, problem: str, again: bool) -> None:
        """Note why a module is not loaded, and whether it is tried again."""
        self._note(name, problem)
        self._again[name] = time.monotonic() + _AGAIN_SECONDS if again else math.inf

    def _take(
        self,
        name: str,
        about: tuple[int, ...],
        files: Sources,
        arrays: list[tuple[Staged, Kin | None]],
        cached: bool,
    ) -> bool:
        """Load a file's module in the place of the one before; return whether it was compiled."""
        compiles = False
        try:
            body, signer = files.read(name)
            text = body.decode()
            cache = self.cache and self.cache.with_name(f"modules-{name}.json")
            compiles = not is_cached(text, cache)
            if compiles and cached:
                return False
            self._seen[name] = about
            self._install(name, compile_module(text, cache), files.signers, arrays)
            signed = signer and f", signed by {signer}"
            log.info("module %s is loaded, as number %d%s", name, self._loaded[name].number, signed)
        except (XdpctlError, OSError, ValueError) as error:
            refused = isinstance(error, SignatureError)
            if refused or (self._outdated(name, files) and not isinstance(error, ToolError)):
                self._take_out(name, arrays)
            self._seen[name] = about
            # what is wrong in the file stays wrong; the kernel may have had no memory
            again = isinstance(error, DatapathError | ToolError | OSError)
            what = "its new file is not taken" if name in self._loaded else "it is not loaded"
            self._fail(name, f"{what}: {error}", again)
        return compiles

    def _number(self, name: str) -> int:
        """The number of a module, a new one if it has none; DatapathError if all are taken."""
        taken = self.pins.modules()
        if name in taken:
            return taken[name]
        # one that was freed comes last: rules of a module that is gone may still ask for its number
        self._latest = max(self._latest, *taken.values(), -1)
        turns = ((self._latest + 1 + n) % MODULES_MAX for n in range(MODULES_MAX))
        free = next((number for number in turns if number not in taken.values()), None)
        if free is None:
            raise DatapathError(f"there are {MODULES_MAX} modules already; remove one")
        self._latest = free
        return free

    def _install(
        self,
        name: str,
        compiled: Compiled,
        signers: bytes | None,
        arrays: list[tuple[Staged, Kin | None]],
    ) -> None:
        """Load a module's program for all arrays, and only then pin it and put it into them."""
        with ExitStack() as failing:
            counts = maps.create_map(COUNTS, compiled.maps[COUNTS])
            failing.callback(counts.close)
            uses = {of for _, of in compiled.programs[PROGRAM].references}
            kept = maps.create_map(KEPT, compiled.maps[KEPT]) if KEPT in uses else None
            if kept:
                failing.callback(kept.close)
            module = Module(name, self._number(name), signers, compiled, counts, kept)
            with ExitStack() as unused:
                loaded = []
                for staged, followed in arrays:
                    fd = self._load(module, staged, followed)
                    unused.callback(os.close, fd)
                    loaded.append((staged, fd))
                self._pin(module)
                for staged, fd in loaded:
                    staged.array.put(module.place, fd.to_bytes(4, "little"))
            failing.pop_all()
        if before := self._loaded.pop(name, None):
            before.close()
        self._loaded[name] = module
        self._again.pop(name, None)
        self._note(name, "")

    def _pin(self, module: Module) -> None:
        """Pin the counts, in the place of those of an earlier load: its path is always there."""
        self.pins.modules_dir.mkdir(exist_ok=True)
        share(self.pins.modules_dir, self.group, 0o750)
        fresh = self.pins.modules_dir / "fresh"
        fresh.unlink(missing_ok=True)
        maps.pin(module.counts.fd, fresh)
        share(fresh, self.group, 0o640)
        fresh.rename(self.pins.module(module.number, module.name))

    def _remove(self, name: str, arrays: Iterable[tuple[Staged, Kin | None]]) -> None:
        """Take a module out whose file is gone, and forget it."""
        self._take_out(name, arrays)
        self._seen.pop(name, None)
        self._again.pop(name, None)
        self._note(name, "")

    def _take_out(self, name: str, arrays: Iterable[tuple[Staged, Kin | None]]) -> None:
        number = self.pins.modules().get(name)
        if number is not None:
            for staged, _ in arrays:
                staged.array.delete(place_of(number))
            self.pins.module(number, name).unlink(missing_ok=True)
        if module := self._loaded.pop(name, None):
            module.close()
            log.info("module %s is removed", name)
