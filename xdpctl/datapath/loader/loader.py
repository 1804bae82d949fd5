# SPDX-License-Identifier: GPL-2.0-or-later
"""Root's half: makes and pins the maps, attaches the filter, and keeps it attached.

Killing it changes nothing for the traffic: the maps are pinned and the programs attached by
netlink outlive it. A restart adopts the pins if their shape is exactly ours and swaps each
program atomically.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.structs import BITMAPS_MAX, SlotNumber, Stage
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.bpffs import ensure, share
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled, compile_source
from xdpctl.datapath.loader.interface import AttachedInterface, find, foreign
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.loader.stages import Staged, load_staged
from xdpctl.datapath.plan import SHARED
from xdpctl.datapath.tables.cells import SMALLEST_LOG2, buckets_log2
from xdpctl.errors import AttachError, DatapathError, SchemaError
from xdpctl.model.capacity import Capacity

PROGRAM, OUTSIDE, EXPLAIN = "xdpctl", "outside", "explain"
_STAGES: dict[Stage, str] = {
    Stage.SIGNATURES: "signatures",
    Stage.CONNECTION: "connection",
    Stage.CAPTURE: "capture",
    Stage.MONITOR: "monitor",
}
_EXPLAIN_STAGES: dict[Stage, str] = {
    stage: f"{EXPLAIN}_{_STAGES[stage]}" for stage in (Stage.SIGNATURES, Stage.CONNECTION)
}
_OF_PROGRAMS = ("counters", "stages")  # maps that each program has for itself
log = logging.getLogger("xdpctl.loader")


def compile_filter(capacity: Capacity, kept: Path | None = None) -> Compiled:
    """The filter and its explain twin, with their stages; `kept`: see compile_source()."""
    defines = {
        "SLOTS_MAX": capacity.rules + SlotNumber.FIRST,
        "BUCKETS4_LOG2": buckets_log2(capacity.ipv4),
        "BUCKETS6_LOG2": buckets_log2(capacity.ipv6),
        "ENTRIES6_MAX": 2 * capacity.ipv6 + 1,  # new entries come before old ones go
    }
    names = [PROGRAM, OUTSIDE, *_STAGES.values()]
    names += [EXPLAIN, f"{EXPLAIN}_{OUTSIDE}", *_EXPLAIN_STAGES.values()]
    compiled = compile_source("xdpctl.c", names, defines, kept)
    one = compiled.maps["bitmaps"]
    maps = compiled.maps | {"bitmaps": replace(one, value_size=BITMAPS_MAX * one.value_size)}
    return replace(compiled, maps=maps)


def _prepare(controls: maps.Map) -> None:
    """What the tables need before their first entry, and keep for as long as they live."""
    control = np.frombuffer(controls.memory(), CONTROL)[0]
    if not control["seeds"].any():
        control["seeds"] = [secrets.randbits(64) | 1 for _ in range(3)]
        control["buckets_log2"] = SMALLEST_LOG2


class Loader:
    """Maps, programs and attachments under one pin directory."""

    def __init__(self, pins: Pins, compiled: Compiled, group: int = -1) -> None:
        self.pins = pins
        self._compiled = compiled
        self._group = group
        ensure(pins.directory)
        for directory in (pins.directory, pins.root, pins.ports_dir):
            directory.mkdir(parents=True, exist_ok=True)
            share(directory, group, 0o750)
        pins.lock_dir.mkdir(exist_ok=True)
        share(pins.lock_dir, 0, 0o700)
        names = (name for name in compiled.maps if name not in _OF_PROGRAMS)
        self._maps = {name: self._adopt_or_create(name, pins.map(name)) for name in names}
        # a map that somebody has mapped for writing cannot be frozen by whoever may open its pin
        self._mapped = [self._map(name) for name, held in self._maps.items() if held.mappable]
        for shared in SHARED:
            self._maps["slots"].put(shared.shared.to_bytes(4, "little"), shared.value)
        _prepare(self._maps["controls"])
        self._id = maps.map_id(self._maps["slots"].fd)
        self.ports: dict[str, AttachedInterface] = {}

    def _adopt_or_create(self, name: str, path: Path) -> maps.Map:
        wanted = self._compiled.maps[name]
        if path.exists():
            held = maps.open_map(path)
            if held.shape != wanted:
                raise SchemaError(
                    f"{path} was made by another version or capacity: it has {held.shape}, this "
                    f"one needs {wanted}. Nothing was changed. `xdpctl down` removes it (traffic "
                    "is not filtered until the next start; rules are kept)."
                )
            share(path, self._group, 0o660)
            return held
        try:
            made = maps.create_map(name, wanted)
        except OSError as error:
            raise DatapathError(str(error.strerror)) from error
        maps.pin(made.fd, path)
        share(path, self._group, 0o660)
        return made

    def _map(self, name: str) -> memoryview:
        try:
            return self._maps[name].memory()
        except OSError as error:
            raise SchemaError(
                f"{self.pins.map(name)} cannot be written ({error.strerror}): somebody froze it. "
                "`xdpctl down` removes it (traffic is not filtered until the next start; rules are "
                "kept)."
            ) from error

    def _load_staged(
        self, program: str, stages: Mapping[Stage, str], directory: Path, counters: maps.Map | None
    ) -> Staged:
        def load(name: str, stages_fd: int) -> int:
            return self._load(
                name, {"stages": stages_fd, "counters": counters.fd if counters else 0}
            )

        return load_staged(load, self._compiled.maps["stages"], program, stages, directory)

    def _load(self, name: str, own: Mapping[str, int]) -> int:
        fds = {name: held.fd for name, held in self._maps.items()} | dict(own)
        try:
            return programs.load(name, self._compiled.programs[name].linked(fds))
        except OSError as error:
            raise DatapathError(f"the kernel's verifier refused it: {error.strerror}") from error

    def add_explain(self) -> None:
        """Load and pin the explain programs, which no packet of the traffic waits for."""
        for program, pin in (
            (EXPLAIN, self.pins.explain),
            (f"{EXPLAIN}_{OUTSIDE}", self.pins.explain_outside),
        ):
            for directory in (self.pins.explain_dir, pin.parent):
                directory.mkdir(exist_ok=True)
                share(directory, self._group, 0o750)
            staged = self._load_staged(program, _EXPLAIN_STAGES, pin.parent, None)
            fresh = pin.with_name("new")
            fresh.unlink(missing_ok=True)
            maps.pin(staged.program_fd, fresh)
            share(fresh, self._group, 0o660)
            fresh.rename(pin)
            staged.close()
            staged.retire_others()

    def add_port(self, name: str, outside: bool = False) -> AttachedInterface:
        """Prepare an interface's own counters and program; `reconcile` attaches it."""
        directory = self.pins.port(name)
        directory.mkdir(exist_ok=True)
        share(directory, self._group, 0o750)
        with closing(self._adopt_or_create("counters", directory / "counters")) as counters:
            program = OUTSIDE if outside else PROGRAM
            staged = self._load_staged(program, _STAGES, directory, counters)
        self.ports[name] = AttachedInterface(name, staged)
        return self.ports[name]

    def close(self) -> None:
        """Let go of the descriptors; what is pinned and attached stays."""
        self._mapped.clear()
        for port in self.ports.values():
            port.staged.close()
        for held in self._maps.values():
            held.close()

    def reconcile(self) -> None:
        """Bring every port to the attached state, as far as the interfaces are there."""
        present = netlink.links()
        for port in self.ports.values():
            link = find(port, present)
            if link is None:
                port.index = None
                port.became("absent", None, "no such interface now; attaches when it appears")
                continue
            try:
                self._reconcile_port(port, link)
            except AttachRefused as error:
                if not error.gone:
                    port.became("failed", None, str(error))
            except AttachError as error:
                port.became("failed", link.xdp_mode, str(error))

    def _reconcile_port(self, port: AttachedInterface, link: Link) -> None:
        if link.program_id is None:
            mode = self._attach(port, link)
        else:
            mode = self._replace(port, link, link.program_id)
        port.staged.retire_others()
        port.index = link.index
        renamed = f"renamed to {link.name}, still filtered" if link.name != port.name else ""
        port.became("attached", mode, ", ".join(filter(None, (port.reason, renamed))))

    def _attach(self, port: AttachedInterface, link: Link) -> str:
        """Native, or generic with the reason; the mode."""
        try:
            netlink.attach(link, port.program_fd, "native")
            port.reason = ""
            return "native"
        except AttachRefused as refusal:
            if refusal.gone or refusal.taken:
                raise
            netlink.attach(link, port.program_fd, "generic")
            port.reason = f"several times slower than native, because {refusal.meaning}"
            return "generic"

    def _replace(self, port: AttachedInterface, link: Link, program_id: int) -> str:
        """Swap an earlier program of ours for this one, in the mode it has; the mode."""
        mode = link.xdp_mode or "native"
        with _opened(program_id) as fd:
            info = programs.info(fd)
            if self._id not in info.map_ids:
                raise foreign(link, info)
            if program_id != programs.info(port.program_fd).id:
                netlink.attach(link, port.program_fd, mode, expected_fd=fd)
                port.reason = "" if mode == "native" else "generic, as an earlier start left it"
        return mode


@contextmanager
def _opened(program_id: int) -> Iterator[int]:
    """The descriptor of a program, closed again; AttachError if it went away since it was seen."""
    try:
        fd = programs.open_by_id(program_id)
    except OSError as error:
        raise AttachError(f"the attached program changed meanwhile: {error}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _detach_ours(slots_id: int, present: Iterable[Link]) -> list[str]:
    done = []
    for link in present:
        if link.program_id is None:
            continue
        with _opened(link.program_id) as fd:
            if slots_id in programs.info(fd).map_ids:
                netlink.detach(link, fd)
                done.append(link.name)
    return done


def take_down(pins: Pins) -> list[str]:
    """Detach what is ours and remove the pins; the names of the interfaces that were freed."""
    names: list[str] = []
    if pins.map("slots").exists():
        slots = maps.open_map(pins.map("slots"))
        names = _detach_ours(maps.map_id(slots.fd), netlink.links())
        slots.close()
    if pins.root.is_dir():
        for path in sorted(pins.root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        pins.root.rmdir()
    return names
