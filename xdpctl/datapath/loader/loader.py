# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: creates and pins the maps, attaches the filter, and keeps it attached.

Killing the loader does not affect traffic: pinned maps, and programs attached by netlink, outlive
it. After a restart it adopts the pinned maps if their types, sizes and flags are the expected ones,
and replaces each program atomically. If maps of other shapes are needed, see succession.py.
"""

import logging
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from xdpctl.abi.constants import Filled
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import ProgramInfo
from xdpctl.datapath.loader import behind, egress, netlink
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.explain_programs import ExplainPrograms
from xdpctl.datapath.loader.filter_program import OUTSIDE, PROGRAM
from xdpctl.datapath.loader.interface import AttachedInterface, attach, find, foreign, mend_sight
from xdpctl.datapath.loader.interface_programs import InterfacePrograms
from xdpctl.datapath.loader.layered_programs import CompileFor, LayeredPrograms
from xdpctl.datapath.loader.module_source import Places
from xdpctl.datapath.loader.modules import Modules
from xdpctl.datapath.loader.netlink import AttachRefused, Link, opened
from xdpctl.datapath.loader.pinned_maps import PinnedMaps
from xdpctl.datapath.loader.succession import StandIn, Succession
from xdpctl.datapath.loader.take_down import OURS
from xdpctl.errors import AttachError
from xdpctl.model.capacity import FlowSettings

_BY_EARLIER = "an earlier filter"
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
        modules: Places | None = None,
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
        self.programs = LayeredPrograms(shared, compiled, teach, compile_for, self.pins.egress_dir)
        if self.succession.earlier is None:
            self.programs.enforce()
        self.modules = (
            Modules(self.pins, modules, group, self.programs, modules.own.with_suffix(".json"))
            if modules
            else None
        )
        if self.modules:
            self.modules.look((), at_start=True)
        self.interfaces = InterfacePrograms(
            self.pins, self._maps, self.programs, group, self.modules
        )
        self.explain = ExplainPrograms(self.pins, self._maps, self.programs, group)
        self.ports: dict[str, AttachedInterface] = {}
        self.succession.publish()

    def add_port(self, name: str, outside: bool = False, shared: bool = False) -> AttachedInterface:
        """Create an interface's counters and load its program; `reconcile` attaches it."""
        self.ports[name] = self.interfaces.add(name, outside, shared)
        return self.ports[name]

    def close(self) -> None:
        """Close the descriptors; pinned maps and attached programs stay."""
        for port in self.ports.values():
            port.close()
        if self.modules:
            self.modules.close()
        self.programs.close()
        self.succession.close()
        self._maps.close()

    def reconcile(self) -> None:
        """Attach the filter to every configured interface that exists and does not have it."""
        if self.modules:
            self.modules.look((port.staged, port.followed) for port in self.ports.values())
        present = netlink.links()
        self.succession.hold(present)
        pairs = [(port, find(port, present)) for port in self.ports.values()]
        # those last that need other programs, which may take seconds to compile
        pairs.sort(key=lambda pair: pair[1] is not None and pair[1].layer is not pair[0].layer)
        for port, link in pairs:
            if link is None:
                port.index, port.indexes = None, []
                port.became(
                    "absent", None, "no such interface now; will be attached when it appears"
                )
                continue
            port.mac, port.indexes = link.mac, netlink.with_above(link.index, present)
            port.vrf = netlink.vrf_of(link, present)
            if link.layer is None:
                port.became("failed", link.xdp_mode, netlink.unreadable(link))
                continue
            try:
                self.interfaces.fit(port, link.layer)
                self.interfaces.put_behind(port)
                self._reconcile_port(port, link)
            except AttachRefused as error:
                if not error.gone:
                    port.became("failed", None, str(error))
            except AttachError as error:
                port.became("failed", link.xdp_mode, str(error))
            if port.layer is link.layer and (port.outside or self.succession.earlier is None):
                self._teach(port, link)
        self.programs.retire_teachers(lambda: self._teaching(present))
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

    def _teaching(self, present: list[Link]) -> set[int]:
        """The ids of the programs at egress that teach this filter's memory."""
        found = set[int]()
        for link in present:
            with suppress(AttachError):  # the interface has disappeared meanwhile
                found |= egress.ids(link.index, self._memories_id)
        return found

    def _taught_by_earlier(self, link: Link) -> bool:
        """Whether the earlier filter's program fills the memory that this filter shares with it."""
        return self.succession.kept.memories and bool(egress.ids(link.index, self._memories_id))

    def _teach(self, port: AttachedInterface, link: Link) -> None:
        """Attach the program for what goes out to an outside interface only.

        While an earlier filter is in force, it is the one that keeps things in. Its program stays
        if both teach the same memory; else both programs teach theirs.
        """
        in_force = self.succession.earlier is None
        try:
            if in_force:
                self.programs.enforce()
            elif port.outside and self._taught_by_earlier(link):
                port.taught(_BY_EARLIER, "")
                return
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
        port.index, port.attached = link.index, programs.info(port.program_fd).id
        if port.followed is None and self.succession.earlier is None:
            self.interfaces.take_away(port, "the interface is not shared any more")
        if self.succession.earlier is None:
            mode = mend_sight(port, link, time.monotonic()) or mode
        renamed = f"renamed to {link.name}, still filtered" if link.name != port.name else ""
        follows = port.waits or (f"{port.behind} runs behind it" if port.behind else "")
        state = "failed" if port.blind else "attached"
        details = filter(None, (port.blind, port.reason, renamed, follows))
        port.became(state, mode, ", ".join(details))

    def _attach(self, port: AttachedInterface, link: Link) -> str:
        """Attach in native mode, or else in generic mode with the reason; return the mode."""
        if not port.detached_here:
            self.interfaces.take_away(port, "it was taken off")
        stand_in = self._stand_in(port, link)
        mode = attach(port, link, stand_in.fd if stand_in else port.program_fd)
        port.detached_here = False
        if not self._has_rules:
            how = _EARLIER if stand_in else _WITHOUT_RULES
            port.reason = f"{how}{self.succession.waits_for}"
        return mode

    @property
    def _has_rules(self) -> bool:
        """Whether this filter is in force, or could be."""
        return self.succession.earlier is None or self._maps.control["filled"] == Filled.ALL

    def _stand_in(self, port: AttachedInterface, link: Link) -> StandIn | None:
        """The earlier filter's program, while this one does not have all rules; None: the own.

        What is kept for the interface runs behind it, if it can.
        """
        name = OUTSIDE if port.outside else PROGRAM
        stand_in = None if self._has_rules else self.succession.stand_in(link, name)
        if stand_in and stand_in.interface == link.name:
            # if it is of another kin it waits, which the next look finds and `status` says
            with self.interfaces.kept.opened(port.name) as theirs, suppress(AttachError):
                behind.put_behind(stand_in.fd, theirs)
        return stand_in

    def _replace(self, port: AttachedInterface, link: Link, program_id: int) -> str:
        """Replace an earlier program of xdpctl in the same mode; return the mode.

        AttachError if the attached program is another tool's, and may not run behind the filter.
        """
        mode = link.xdp_mode or "native"
        with opened(program_id) as fd:
            info = programs.info(fd)
            other = self.succession.others.owner(info)
            if self.succession.earlier and other:
                port.reason = f"{_EARLIER}{self.succession.waits_for}"
                if port.behind and not behind.follower(info):
                    port.waits = f"{port.behind} waits until this version's filter is in force"
                return mode
            if self._id not in info.map_ids and not other:
                if port.filters(link):
                    port.was_taken_off(f"another program, {info.name or 'unnamed'}, replaced it")
                self._attach_before(port, link, fd, info)
                return mode
            own = programs.info(port.program_fd).id
            if not other and port.index == link.index and program_id not in (own, port.attached):
                self.interfaces.take_away(port, "an earlier filter was put back in its place")
            if stand_in := self._stand_in(port, link):
                netlink.attach(link, stand_in.fd, mode, expected_fd=fd)
                port.reason = f"{_EARLIER}{self.succession.waits_for}"
                return mode
            if program_id != own:
                netlink.attach(link, port.program_fd, mode, expected_fd=fd)
            if program_id != own or port.reason.startswith((_EARLIER, _WITHOUT_RULES)):
                port.reason = "" if mode == "native" else "generic, as an earlier start attached it"
        return mode

    def _attach_before(
        self, port: AttachedInterface, link: Link, theirs: int, info: ProgramInfo
    ) -> None:
        """Attach the filter in the place of another tool's program, which then runs behind it.

        AttachError if that may not, or cannot be; then nothing is changed.
        """
        mode = link.xdp_mode
        if port.followed is None or info.name in OURS or mode not in ("native", "generic"):
            raise foreign(link, info, port.followed is not None)
        behind.check_replaceable(link, theirs)
        try:
            kin = behind.kin_of(theirs)
        except AttachError as error:
            raise AttachError(f"{link.name} has the XDP program {info.name}: {error}") from error
        self.interfaces.kept.keep(port.name, theirs)
        port.reason = "" if mode == "native" else "generic, as the other program was attached"
        with ExitStack() as ending:
            before = theirs
            if stand_in := self._stand_in(port, link):
                netlink.attach(link, stand_in.fd, mode, expected_fd=theirs)
                port.reason = f"{_EARLIER}{self.succession.waits_for}"
                return
            if kin != port.followed and port.index == link.index:
                # it was filtered: at once, since to load programs that fit takes a second
                behind.put(port.staged.array, None)
                netlink.attach(link, port.program_fd, mode, expected_fd=theirs)
                before = os.dup(port.program_fd)
                ending.callback(os.close, before)
            self.interfaces.put_behind(port)
            netlink.attach(link, port.program_fd, mode, expected_fd=before)
