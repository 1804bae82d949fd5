# SPDX-License-Identifier: GPL-2.0-or-later
"""How a filter takes the place of one with other maps, without a packet between the two.

The filter of this version is made beside the one in force, and the control plane fills it. The one
in force decides all packets meanwhile. When the new one is filled, its programs replace the earlier
ones, one interface after the other, each atomically. Both filters have the rules then, so the order
does not matter. If an interface refuses, the earlier programs are put back on the others.
"""

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from xdpctl.abi.digest import digest
from xdpctl.datapath.bpf import bpffs, programs
from xdpctl.datapath.bpf.maps import MapShape
from xdpctl.datapath.bpf.pins import CURRENT, FRESH, NEXT, Pins
from xdpctl.datapath.bpf.programs import ProgramInfo
from xdpctl.datapath.emergency_bypass import press, pressed
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.behind import Kept, follower, take_off
from xdpctl.datapath.loader.interface import AttachedInterface
from xdpctl.datapath.loader.kept_maps import GROUPS, KeptMaps
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.loader.other_filters import OtherFilters, held_writable
from xdpctl.errors import AttachError

LEARN_SECONDS = 30.0  # in which a new flow memory learns which flows there are
_AGAIN_SECONDS = 10.0  # after an interface has refused
_SIZES_DIGITS = 8
_NOT_FILLED = "the maps of this version are not filled yet"
log = logging.getLogger("xdpctl.loader")


def name_of(shapes: Mapping[str, MapShape]) -> str:
    """The folder's name of the filter with these maps."""
    sizes = hashlib.sha256(repr(sorted(shapes.items())).encode())
    sizes.update(repr([group.mark for group in GROUPS]).encode())
    return f"{digest()}-{sizes.hexdigest()[:_SIZES_DIGITS]}"


class StandIn(NamedTuple):
    """A program of another filter, on the interface where it was found."""

    interface: str
    layer: LinkLayer | None
    name: str
    in_force: bool
    fd: int


class Succession:
    """The filter of this version, and the earlier one whose place it is to take, if there is one.

    `waits_for` says what it waits for; "" once it is in force. `problem` is the last refusal.
    """

    def __init__(self, pins: Pins, shapes: dict[str, MapShape], group: int) -> None:
        bpffs.ensure(pins.directory)
        for directory, owner, mode in ((pins.directory, group, 0o750), (pins.lock_dir, 0, 0o700)):
            directory.mkdir(parents=True, exist_ok=True)
            bpffs.share(directory, owner, mode)
        self.own = Pins(pins.directory, name_of(shapes))
        self.earlier = self._in_force()
        # a process that may open the pins could make the bypass of the one in force read-only
        self._held = held_writable(self.earlier) if self.earlier else []
        self.kept = KeptMaps(self.earlier, shapes)
        self.others = OtherFilters(self.own)
        self._programs: list[StandIn] = []
        self._began, self._again_at = time.monotonic(), 0.0
        self.waits_for = _NOT_FILLED if self.earlier else ""
        self.problem = ""

    def _in_force(self) -> Pins | None:
        """The filter in force, unless it is this one, or is gone."""
        current = Pins(self.own.directory)
        if current.name in ("", self.own.name) or not current.map("slots").exists():
            return None
        return Pins(self.own.directory, current.name)

    def publish(self) -> None:
        """Let the control plane find this filter, whose maps exist now."""
        self._point(NEXT if self.earlier else CURRENT)
        if not self.earlier:
            (self.own.directory / NEXT).unlink(missing_ok=True)
        else:
            log.warning(
                "an earlier filter is in force, which has other maps; this version's is made "
                "beside it, and takes its place when it has all rules"
            )

    def _point(self, link: str) -> None:
        """Let a link lead to this filter, by an atomic replacement."""
        fresh = self.own.directory / FRESH
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.own.name)
        fresh.rename(self.own.directory / link)

    def due(self, filled: bool, teaches: bool) -> bool:
        """Whether this filter may take the earlier one's place now; notes what it waits for.

        `filled`: it has all rules. `teaches`: it has a flow memory, which has to learn first.
        """
        now = time.monotonic()
        learns = teaches and not self.kept.memories and now < self._began + LEARN_SECONDS
        if self.earlier is None:
            return False
        if self.problem:
            self.waits_for = self.problem
        elif not filled:
            self.waits_for = _NOT_FILLED
        elif learns:
            self.waits_for = "the flow memory of this version learns which flows there are"
        return filled and not learns and now >= self._again_at

    def stand_in(self, link: Link, name: str) -> StandIn | None:
        """The earlier filter's program with this name for an interface, or None.

        An interface without it gets it while the own filter is not filled: its own one, or that of
        another interface with frames of the same kind, unless another tool's program is behind that
        one. A program that a given-up attempt has left is used only if there is no other.
        """
        fitting = [one for one in self._programs if (one.layer, one.name) == (link.layer, name)]
        fitting.sort(key=lambda one: (not one.in_force, one.interface != link.name))
        for one in fitting:
            if one.interface == link.name or not follower(programs.info(one.fd)):
                return one
        return None

    def hold(self, present: list[Link]) -> None:
        """Hold the programs of other filters, so that an interface which loses one gets it again.

        Only what is on the interfaces at the first call that finds some is held.
        """
        if self.earlier is None or self._programs:
            return
        for link in present:
            with self.others.program(link) as found:
                if found:
                    in_force, name = self._earlier(found[1]), found[1].name
                    held = StandIn(link.name, link.layer, name, in_force, os.dup(found[0]))
                    self._programs.append(held)

    def close(self) -> None:
        """Close the descriptors of other filters' programs."""
        for one in self._programs:
            os.close(one.fd)
        self._programs.clear()

    def _earlier(self, info: ProgramInfo) -> bool:
        """Whether a program is one of the earlier filter, and not of one that was given up."""
        owner = self.others.owner(info)
        return owner is not None and self.earlier is not None and owner.name == self.earlier.name

    def take_over(self, ports: Mapping[str, AttachedInterface], present: list[Link]) -> bool:
        """Replace the other filters' programs; return whether this filter is in force now.

        The filter is taken off interfaces that are no longer configured.
        """
        earlier = self.earlier
        assert earlier  # noqa: S101  # the caller asks only then
        by_index = self.others.programs(ports, present)
        if pressed(earlier):
            press(self.own, True)
        try:
            unwanted = self._replace(by_index, present)
        except AttachError as error:
            self.problem = self.waits_for = f"an interface refused its program: {error}"
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            log.error("the earlier filter stays in force: %s", error)
            return False
        if pressed(earlier):  # somebody pressed it meanwhile
            press(self.own, True)
        self._point(CURRENT)
        (self.own.directory / NEXT).unlink(missing_ok=True)
        self.earlier, self.waits_for, self.problem = None, "", ""
        self._held.clear()
        for link in unwanted:
            self._take_off(link)
        self.close()
        self.others.stop_teaching(
            self.own, {i for i, port in by_index.items() if port.outside}, present
        )
        log.info("the filter of this version is in force, in the place of the earlier one")
        return True

    def _replace(
        self, by_index: Mapping[int, AttachedInterface], present: list[Link]
    ) -> list[Link]:
        """Replace the programs on all interfaces, or put the earlier ones back on all of them.

        Returns the links that are no longer configured.
        """
        replaced: list[tuple[Link, int, int]] = []
        unwanted = []
        try:
            for link in present:
                with self.others.program(link) as found:
                    if found is None:
                        continue
                    port = by_index.get(link.index)
                    if port is None:
                        unwanted.append(link)
                    elif port.layer is not link.layer:
                        raise AttachError(f"there is no program for the frames of {link.name}")
                    elif _swapped(link, port.program_fd, found[0]):
                        replaced.append((link, port.program_fd, os.dup(found[0])))
        except AttachError:
            for link, ours, theirs in replaced:
                _put_back(link, ours, theirs)
            raise
        finally:
            for *_, theirs in replaced:
                os.close(theirs)
        return unwanted

    def _take_off(self, link: Link) -> None:
        """Detach another filter's program from an interface that is no longer configured."""
        with self.others.program(link) as found:
            try:
                if found:
                    take_off(link, found[0], Kept(self.own))
                    log.warning("%s: no longer configured, so it is not filtered", link.name)
            except AttachError as error:
                log.error("%s: the earlier filter stays on it: %s", link.name, error)


def _put_back(link: Link, ours: int, theirs: int) -> None:
    """Put an earlier program back; the loader tries it again if that fails."""
    try:
        netlink.attach(link, theirs, link.xdp_mode or "native", expected_fd=ours)
    except AttachError as error:
        log.error("%s: the earlier program cannot be put back yet: %s", link.name, error)


def _swapped(link: Link, ours: int, theirs: int) -> bool:
    """Replace a program; return whether the interface is still there. AttachError if it refuses."""
    try:
        netlink.attach(link, ours, link.xdp_mode or "native", expected_fd=theirs)
    except AttachRefused as error:
        if error.gone:
            return False
        raise
    return True
