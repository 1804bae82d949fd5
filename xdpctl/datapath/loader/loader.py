# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: creates and pins the maps, attaches the filter, and keeps it attached.

Killing the loader does not affect traffic: pinned maps, and programs attached by netlink, outlive
it. After a restart it adopts the pinned maps if their shapes are exactly the expected ones, and
replaces each program atomically.
"""

import logging
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import BITMAPS_MAX, SlotNumber, Stage
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.bpffs import ensure, share
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.heads import NEVER
from xdpctl.datapath.image import SHARED
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled, compile_source
from xdpctl.datapath.loader.interface import AttachedInterface, find, foreign
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.loader.stages import Staged, load_staged
from xdpctl.datapath.loader.take_down import opened
from xdpctl.datapath.tables.cells import SMALLEST_LOG2, buckets_log2
from xdpctl.errors import AttachError, DatapathError, SchemaError
from xdpctl.model.capacity import Capacity

PROGRAM, OUTSIDE, EXPLAIN = "xdpctl", "outside", "explain"
_STAGES: dict[Stage, str] = {
    Stage.SIGNATURES: "signatures",
    Stage.CONNECTION: "connection",
    Stage.OBSERVE: "observe",
    Stage.MONITOR: "monitor",
}
_EXPLAIN_STAGES: dict[Stage, str] = {
    stage: f"{EXPLAIN}_{_STAGES[stage]}" for stage in (Stage.SIGNATURES, Stage.CONNECTION)
}
_PER_PROGRAM = ("counters", "stages")  # maps that are not shared: each program has its own
log = logging.getLogger("xdpctl.loader")


def compile_filter(
    capacity: Capacity, kept: Path | None = None, *, rehearsal: bool = False
) -> Compiled:
    """Compile the filter and the explain programs, with their stages; `kept`: compile_source().

    In the build for a rehearsal limits go by a recording's clock, see bpf/clock.bpf.h.
    """
    defines = {
        "SLOTS_MAX": capacity.rules + SlotNumber.FIRST,
        "BUCKETS4_LOG2": buckets_log2(capacity.ipv4),
        "BUCKETS6_LOG2": buckets_log2(capacity.ipv6),
        "ENTRIES6_MAX": 2 * capacity.ipv6 + 1,  # new entries are added before old ones go
    }
    if rehearsal:
        defines["REHEARSAL"] = 1
    names = [PROGRAM, OUTSIDE, *_STAGES.values()]
    names += [EXPLAIN, f"{EXPLAIN}_{OUTSIDE}", *_EXPLAIN_STAGES.values()]
    compiled = compile_source("xdpctl.c", names, defines, kept)
    bitmaps = compiled.maps["bitmaps"]
    bitmaps = replace(bitmaps, value_size=BITMAPS_MAX * bitmaps.value_size)
    maps = compiled.maps | {"bitmaps": bitmaps}
    return replace(compiled, maps=maps)


def _prepare(controls: maps.Map) -> None:
    """Initialise a new control map: hash seeds, table sizes, and that nothing is copied."""
    control = np.frombuffer(controls.memory(), CONTROL)[0]
    if not control["seeds"].any():
        control["seeds"] = [secrets.randbits(64) | 1 for _ in range(3)]
        control["buckets_log2"] = SMALLEST_LOG2
        control["observed"] = control["captured"] = NEVER


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
        names = (name for name in compiled.maps if name not in _PER_PROGRAM)
        self._maps = {name: self._adopt_or_create(name, pins.map(name)) for name in names}
        # while a map is mapped for writing, no process that can open its pin can freeze it
        self._mapped = [self._map(name) for name, each in self._maps.items() if each.mappable]
        for shared in SHARED:
            self._maps["slots"].put(shared.shared.to_bytes(4, "little"), shared.value)
        _prepare(self._maps["controls"])
        self._id = maps.map_id(self._maps["slots"].fd)
        self.ports: dict[str, AttachedInterface] = {}

    def _adopt_or_create(self, name: str, path: Path) -> maps.Map:
        wanted = self._compiled.maps[name]
        if path.exists():
            pinned = maps.open_map(path)
            if pinned.shape != wanted:
                raise SchemaError(
                    f"{path} was made by another version or capacity: it has {pinned.shape}, but "
                    f"{wanted} is needed. Nothing was changed. `xdpctl down` removes it (traffic "
                    "is not filtered until the next start; rules are kept)."
                )
            share(path, self._group, 0o660)
            return pinned
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
                f"{self.pins.map(name)} cannot be written ({error.strerror}): it was frozen. "
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
        fds = {name: shared.fd for name, shared in self._maps.items()} | dict(own)
        try:
            return programs.load(name, self._compiled.programs[name].linked(fds))
        except OSError as error:
            raise DatapathError(
                f"the kernel did not load the program {name}: {error.strerror}"
            ) from error

    def add_explain(self) -> None:
        """Load and pin the explain programs; filtering does not depend on them."""
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
        """Create an interface's counters and load its program; `reconcile` attaches it."""
        directory = self.pins.port(name)
        directory.mkdir(exist_ok=True)
        share(directory, self._group, 0o750)
        with closing(self._adopt_or_create("counters", directory / "counters")) as counters:
            program = OUTSIDE if outside else PROGRAM
            staged = self._load_staged(program, _STAGES, directory, counters)
        self.ports[name] = AttachedInterface(name, staged)
        return self.ports[name]

    def close(self) -> None:
        """Close the descriptors; pinned maps and attached programs stay."""
        self._mapped.clear()
        for port in self.ports.values():
            port.staged.close()
        for each in self._maps.values():
            each.close()

    def reconcile(self) -> None:
        """Attach the filter to every configured interface that exists and does not have it."""
        present = netlink.links()
        for port in self.ports.values():
            link = find(port, present)
            if link is None:
                port.index = None
                port.became(
                    "absent", None, "no such interface now; will be attached when it appears"
                )
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
            if port.filters(link):
                port.was_taken_off("nothing was attached; it is attached again")
            mode = self._attach(port, link)
        else:
            mode = self._replace(port, link, link.program_id)
        port.staged.retire_others()
        port.index = link.index
        renamed = f"renamed to {link.name}, still filtered" if link.name != port.name else ""
        port.became("attached", mode, ", ".join(filter(None, (port.reason, renamed))))

    def _attach(self, port: AttachedInterface, link: Link) -> str:
        """Attach in native mode, or else in generic mode with the reason; return the mode."""
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
        """Replace an earlier program of xdpctl in the same mode; return the mode.

        AttachError if the attached program is another tool's.
        """
        mode = link.xdp_mode or "native"
        with opened(program_id) as fd:
            info = programs.info(fd)
            if self._id not in info.map_ids:
                if port.filters(link):
                    port.was_taken_off(f"another program, {info.name or 'unnamed'}, replaced it")
                raise foreign(link, info)
            if program_id != programs.info(port.program_fd).id:
                netlink.attach(link, port.program_fd, mode, expected_fd=fd)
                port.reason = "" if mode == "native" else "generic, as an earlier start attached it"
        return mode
