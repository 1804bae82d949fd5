# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: creates and pins the maps, attaches the filter, and keeps it attached.

Killing the loader does not affect traffic: pinned maps, and programs attached by netlink, outlive
it. After a restart it adopts the pinned maps if their types, sizes and flags are the expected ones,
and replaces each program atomically. If maps of other shapes are needed, see succession.py.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import closing

from xdpctl.abi.constants import Filled
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.bpffs import share
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import egress, netlink
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import (
    EXPLAIN,
    EXPLAIN_STAGES,
    OUTSIDE,
    PROGRAM,
    STAGES,
)
from xdpctl.datapath.loader.interface import AttachedInterface, attach, find, foreign, mend_sight
from xdpctl.datapath.loader.layered_programs import CompileFor, LayeredPrograms
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.loader.pinned_maps import PinnedMaps
from xdpctl.datapath.loader.stages import Staged
from xdpctl.datapath.loader.succession import Succession
from xdpctl.datapath.loader.take_down import opened
from xdpctl.errors import AttachError, DatapathError
from xdpctl.model.capacity import FlowSettings

_EARLIER, _WITHOUT_RULES = "by an earlier filter: ", "by a filter without all rules: "
log = logging.getLogger("xdpctl.loader")


class Loader:
    """Maps, programs and attachments under one pin directory."""

    def __init__(
        self,
        pins: Pins,
        compiled: Compiled,
        group: int = -1,
        teach: Compiled | None = None,
        flows: FlowSettings | None = None,
        fleet_ports: Iterable[int] = (),
        compile_for: CompileFor | None = None,
    ) -> None:
        self._compiled = compiled
        self._group = group
        self.succession = Succession(pins, compiled.maps, group)
        self.pins = self.succession.own
        self._maps = PinnedMaps(self.pins, compiled.maps, group, self.succession.kept)
        self._flows = flows or FlowSettings()
        if not self.succession.kept.memories:  # else when it is in force: the earlier one has them
            self._maps.set_memories(self._flows)
        if self.succession.earlier and self._maps.control["filled"] != Filled.UNCHECKED:
            self._maps.control["filled"] = Filled.NOT  # an earlier attempt may have filled it
        self._maps.set_fleet_ports(fleet_ports)
        self._id = maps.map_id(self._maps.shared["slots"].fd)
        self._memories_id = maps.map_id(self._maps.shared["memories"].fd)
        shared = {name: one.fd for name, one in self._maps.shared.items()}
        self.programs = LayeredPrograms(shared, compiled, teach, compile_for)
        self.ports: dict[str, AttachedInterface] = {}
        self.succession.publish()

    def add_explain(self, outside: bool = False) -> None:
        """Load and pin the explain program of a side; filtering does not depend on it."""
        pin = self.pins.explain_of(outside)
        program = f"{EXPLAIN}_{OUTSIDE}" if outside else EXPLAIN
        for directory in (self.pins.explain_dir, pin.parent):
            directory.mkdir(exist_ok=True)
            share(directory, self._group, 0o750)
        with closing(self._maps.port(pin.parent, outside)) as port:
            own = {"counters": 0, "port": port.fd}
            staged = self.programs.staged(program, EXPLAIN_STAGES, pin.parent, own)
        fresh = pin.with_name("new")
        fresh.unlink(missing_ok=True)
        maps.pin(staged.program_fd, fresh)
        share(fresh, self._group, 0o660)
        fresh.rename(pin)
        staged.close()
        staged.retire_others()

    def remove_explain(self, outside: bool) -> None:
        """Remove the explain program of a side that no longer has an interface."""
        directory = self.pins.explain_of(outside).parent
        for pin in directory.iterdir() if directory.is_dir() else ():
            pin.unlink()

    def add_port(self, name: str, outside: bool = False) -> AttachedInterface:
        """Create an interface's counters and load its program; `reconcile` attaches it."""
        directory = self.pins.port(name)
        directory.mkdir(exist_ok=True)
        share(directory, self._group, 0o750)
        counters = self._maps.adopt_or_create("counters", directory / "counters")
        staged = self._staged_of(name, outside, counters, LinkLayer.ETHERNET)
        self.ports[name] = AttachedInterface(name, staged, counters, outside)
        return self.ports[name]

    def _staged_of(self, name: str, outside: bool, counters: Map, layer: LinkLayer) -> Staged:
        """Load the programs of an interface for what its frames begin with."""
        directory = self.pins.port(name)
        program = OUTSIDE if outside else PROGRAM
        with closing(self._maps.port(directory, outside)) as port:
            own = {"counters": counters.fd, "port": port.fd}
            return self.programs.staged(program, STAGES, directory, own, layer)

    def fit(self, port: AttachedInterface, layer: LinkLayer) -> None:
        """Load other programs if the interface's frames begin differently than before."""
        if port.layer is layer:
            return
        self.programs.need(layer)
        try:
            staged = self._staged_of(port.name, port.outside, port.counters, layer)
        except DatapathError as error:
            raise AttachError(str(error)) from error
        port.staged.close()
        port.staged, port.layer = staged, layer

    def close(self) -> None:
        """Close the descriptors; pinned maps and attached programs stay."""
        for port in self.ports.values():
            port.close()
        self.programs.close()
        self.succession.close()
        self._maps.close()

    def reconcile(self) -> None:
        """Attach the filter to every configured interface that exists and does not have it."""
        present = netlink.links()
        self.succession.hold(present)
        pairs = [(port, find(port, present)) for port in self.ports.values()]
        # those last that need other programs, which may take seconds to compile
        pairs.sort(key=lambda pair: pair[1] is not None and pair[1].layer is not pair[0].layer)
        for port, link in pairs:
            if link is None:
                port.index = None
                port.became(
                    "absent", None, "no such interface now; will be attached when it appears"
                )
                continue
            if link.layer is None:
                port.became("failed", link.xdp_mode, netlink.unreadable(link))
                continue
            try:
                self.fit(port, link.layer)
                self._reconcile_port(port, link)
            except AttachRefused as error:
                if not error.gone:
                    port.became("failed", None, str(error))
            except AttachError as error:
                port.became("failed", link.xdp_mode, str(error))
            if port.layer is link.layer and (port.outside or self.succession.earlier is None):
                self._teach(port, link)
        self._succeed(present)

    def _succeed(self, present: list[Link]) -> None:
        """Take the earlier filter's place if there is one, and this one has all rules."""
        succession, control = self.succession, self._maps.control
        filled = control["filled"] == Filled.ALL
        if succession.due(filled, self.programs.teaches):
            if succession.take_over(self.ports, present):
                self._maps.set_memories(self._flows)
                self.reconcile()
                return
            control["filled"] = Filled.NOT  # the control plane says it again while it lives
        succession.others.remove_idle(present, succession.earlier)

    def _teach(self, port: AttachedInterface, link: Link) -> None:
        """Attach the program that fills the flow memory to an outside interface only."""
        try:
            if not port.outside:
                if port.teaches is None and egress.detach(link.index, self._memories_id):
                    log.info("%s: it is no longer outside, so it teaches no flows", port.name)
                port.teaches = ""
            elif (teacher := self.programs.teacher(port.layer)) is not None:
                port.taught(egress.attach(link.index, teacher, self._memories_id), "")
        except AttachError as error:
            if port.outside:
                port.taught("", str(error))
            else:
                log.warning("%s: it still teaches flows: %s", port.name, error)

    def _reconcile_port(self, port: AttachedInterface, link: Link) -> None:
        if link.program_id is None:
            if port.filters(link):
                port.was_taken_off("nothing was attached; it is attached again")
            mode = self._attach(port, link)
        else:
            mode = self._replace(port, link, link.program_id)
        port.staged.retire_others()
        port.index = link.index
        if self.succession.earlier is None:
            mode = mend_sight(port, link, time.monotonic()) or mode
        renamed = f"renamed to {link.name}, still filtered" if link.name != port.name else ""
        state = "failed" if port.blind else "attached"
        port.became(state, mode, ", ".join(filter(None, (port.blind, port.reason, renamed))))

    def _attach(self, port: AttachedInterface, link: Link) -> str:
        """Attach in native mode, or else in generic mode with the reason; return the mode."""
        earlier_fd = self._stand_in(port, link)
        mode = attach(port, link, port.program_fd if earlier_fd is None else earlier_fd)
        if not self._has_rules:
            how = _WITHOUT_RULES if earlier_fd is None else _EARLIER
            port.reason = f"{how}{self.succession.waits_for}"
        return mode

    @property
    def _has_rules(self) -> bool:
        """Whether this filter is in force, or could be."""
        return self.succession.earlier is None or self._maps.control["filled"] == Filled.ALL

    def _stand_in(self, port: AttachedInterface, link: Link) -> int | None:
        """The earlier filter's program, while this one does not have all rules; None: the own."""
        name = OUTSIDE if port.outside else PROGRAM
        return None if self._has_rules else self.succession.stand_in(link, name)

    def _replace(self, port: AttachedInterface, link: Link, program_id: int) -> str:
        """Replace an earlier program of xdpctl in the same mode; return the mode.

        AttachError if the attached program is another tool's.
        """
        mode = link.xdp_mode or "native"
        with opened(program_id) as fd:
            info = programs.info(fd)
            if self.succession.earlier and self.succession.others.owner(info):
                port.reason = f"{_EARLIER}{self.succession.waits_for}"
                return mode
            if self._id not in info.map_ids and not self.succession.others.owner(info):
                if port.filters(link):
                    port.was_taken_off(f"another program, {info.name or 'unnamed'}, replaced it")
                raise foreign(link, info)
            own = program_id == programs.info(port.program_fd).id
            if (earlier_fd := self._stand_in(port, link)) is not None:
                netlink.attach(link, earlier_fd, mode, expected_fd=fd)
                port.reason = f"{_EARLIER}{self.succession.waits_for}"
                return mode
            if not own:
                netlink.attach(link, port.program_fd, mode, expected_fd=fd)
            if not own or port.reason.startswith((_EARLIER, _WITHOUT_RULES)):
                port.reason = "" if mode == "native" else "generic, as an earlier start attached it"
        return mode
