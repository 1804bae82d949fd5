# SPDX-License-Identifier: GPL-2.0-or-later
"""A configured interface and its state."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import total_hits
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import Kin, ProgramInfo
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.netlink import AttachRefused, Link, opened
from xdpctl.datapath.loader.sight import TRIES, Sight
from xdpctl.datapath.loader.stages import Staged
from xdpctl.datapath.loader.take_down import OURS, slots_ids
from xdpctl.errors import AttachError

log = logging.getLogger("xdpctl.loader")


@dataclass(slots=True)
class AttachedInterface:
    """The state of one configured interface.

    `outside`: no network of ours is beyond it. `layer`: for which frames its programs are. `reason`
    says why it is in generic mode. `attached` is the id of the program that was attached last.
    `taken_off` counts how often somebody else took the filter off, or its driver gave it no
    packets, since this process started. `teaches` is the means by which outgoing packets are
    recorded in the flow memory: "" if they are not, None before the first check. `blind` says that
    the filter sees nothing.

    `followed` is the kin of the programs that may run behind the filter; None: the interface is not
    shared. `behind` names the one that does; `waits` says which one does not, and why.
    `indexes`: its own, and those of interfaces above it, by which its packets come in, too. `vrf`:
    the name of the VRF that it belongs to.
    `detached_here`: the filter was taken off by the loader itself.
    """

    name: str
    staged: Staged
    counters: Map
    outside: bool = False
    layer: LinkLayer = LinkLayer.ETHERNET
    followed: Kin | None = None
    state: str = "absent"
    mode: str | None = None
    detail: str = "no such interface yet"
    reason: str = ""
    index: int | None = None
    indexes: list[int] = field(default_factory=list)
    taken_off: int = 0
    teaches: str | None = None
    teaches_not: str = ""
    sight: Sight = field(default_factory=Sight)
    blind: str = ""
    behind: str = ""
    waits: str = ""
    attached: int = 0
    detached_here: bool = False
    mac: str = ""
    vrf: str = ""

    def counted(self) -> int:
        """The packets that the filter has seen here, of all reasons."""
        values = (self.counters.get(reason.to_bytes(4, "little")) for reason in Reason)
        return sum(total_hits(value or b"").packets for value in values)

    def close(self) -> None:
        """Close the descriptors; the program stays attached."""
        self.staged.close()
        self.counters.close()

    @property
    def program_fd(self) -> int:
        """The descriptor of the program for this interface."""
        return self.staged.program_fd

    def became(self, state: str, mode: str | None, detail: str) -> None:
        """Set the state, and log it if it has changed."""
        if (state, mode, detail) != (self.state, self.mode, self.detail):
            level = logging.INFO if state == "attached" and mode == "native" else logging.WARNING
            log.log(level, "%s: %s%s", self.name, state, f", {detail}" if detail else "")
        self.state, self.mode, self.detail = state, mode, detail

    def taught(self, means: str, problem: str) -> None:
        """Set how outgoing packets are recorded in the flow memory, and log a change."""
        if (means, problem) != (self.teaches, self.teaches_not):
            if problem:
                log.error(
                    "%s: what goes out does not teach the flow memory: %s", self.name, problem
                )
            else:
                log.info("%s: what goes out teaches the flow memory, by %s", self.name, means)
        self.teaches, self.teaches_not = means, problem

    def filters(self, link: Link) -> bool:
        """Whether the filter was attached to this link at the last check."""
        return self.state == "attached" and self.index == link.index

    def was_taken_off(self, what: str) -> None:
        """Count and log that the filter is no longer attached, and why."""
        self.taken_off += 1
        log.error("%s: the filter was taken off: %s", self.name, what)


def attach(port: AttachedInterface, link: Link, program_fd: int) -> str:
    """Attach in native mode, or else in generic mode with the reason; return the mode."""
    try:
        netlink.attach(link, program_fd, "native")
        port.reason = ""
        return "native"
    except AttachRefused as refusal:
        if refusal.gone or refusal.taken:
            raise
        netlink.attach(link, program_fd, "generic")
        port.reason = f"several times slower than native, because {refusal.meaning}"
        return "generic"


def mend_sight(port: AttachedInterface, link: Link, now: float) -> str | None:
    """Attach the filter again if its driver gives it no packets; the mode then, or None."""
    sight = port.sight
    if not sight.due(link.received) or not sight.note(link.received, port.counted(), now):
        port.blind = port.blind if sight.tries else ""
        return None
    blind = f"its driver gave the filter none of {sight.missed:,} packets"
    sight.try_again(link.received, now)
    if sight.tries > TRIES:
        port.blind = blind
        return None
    port.was_taken_off(f"{blind}; it is attached again")
    port.detached_here = True  # so what is behind it stays there
    netlink.detach(link, port.program_fd)
    if sight.tries < TRIES:
        mode = attach(port, link, port.program_fd)
        port.detached_here = False
        return mode
    netlink.attach(link, port.program_fd, "generic")
    port.detached_here = False
    port.reason = f"several times slower than native, because {blind}"
    return "generic"


def find(port: AttachedInterface, present: Iterable[Link]) -> Link | None:
    """The link of a configured interface, by its name, or by its index after a rename."""
    by_name = {link.name: link for link in present}
    if port.name in by_name:
        return by_name[port.name]
    return next((link for link in present if link.index == port.index), None)


def foreign(link: Link, info: ProgramInfo, shared: bool = False) -> AttachError:
    """The error for an interface that has the XDP program of another tool or instance."""
    if info.name in OURS:
        return AttachError(
            f"{link.name} is already filtered by another instance of xdpctl, with another "
            "--pin-dir. It was not changed. Use that instance, or stop it first. If none runs, its "
            f"pins were removed: xdpctl down -i {link.name} takes the filter off"
        )
    setting = f'interfaces = [{{name = "{link.name}", shared = true}}]'
    way = "" if shared else f"let it run behind the filter ({setting}), or "
    return AttachError(
        f"{link.name} already has an XDP program that is not xdpctl's: {info.name or 'unnamed'} "
        f"(id {info.id}, tag {info.tag}, {link.xdp_mode} mode). It was not changed. To go on, "
        f"{way}stop the tool that attached it, or detach it with: "
        f"ip link set dev {link.name} xdp off"
    )


def refuse_foreign(pins: Pins, names: Collection[str], shared: Collection[str] = ()) -> None:
    """AttachError if one of these interfaces has a program that does not use the maps of `pins`.

    On a shared interface another tool's program may be, but not that of another instance.
    """
    ours = slots_ids(pins.directory)
    for link in netlink.links():
        if link.name in names and link.program_id is not None:
            with opened(link.program_id) as fd:
                info = programs.info(fd)
            allowed = link.name in shared and info.name not in OURS
            if ours.isdisjoint(info.map_ids) and not allowed:
                raise foreign(link, info)
