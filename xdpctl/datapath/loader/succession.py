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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from xdpctl.abi.digest import digest
from xdpctl.datapath.bpf import bpffs, maps, programs, rcu
from xdpctl.datapath.bpf.maps import MapShape
from xdpctl.datapath.bpf.pins import CURRENT, NEXT, Pins
from xdpctl.datapath.emergency_bypass import press, pressed
from xdpctl.datapath.loader import egress, netlink
from xdpctl.datapath.loader.kept_maps import GROUPS, KeptMaps
from xdpctl.datapath.loader.netlink import Link
from xdpctl.datapath.loader.take_down import opened, remove_filter
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
        self.kept = KeptMaps(self.earlier, shapes)
        self._began, self._again_at = time.monotonic(), 0.0
        self.waits_for = _NOT_FILLED if self.earlier else ""
        self.problem = ""
        names = {self.own.name, self.earlier.name if self.earlier else ""}
        for left in Pins.all(pins.directory):  # of an attempt that was ended, or after a swap
            if left.name not in names:
                remove_filter(left)

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
        fresh = self.own.directory / "fresh"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.own.name)
        fresh.rename(self.own.directory / link)

    def is_earlier(self, info: programs.ProgramInfo) -> bool:
        """Whether a program belongs to the filter whose place this one is to take."""
        return self.earlier is not None and _slots_id(self.earlier) in info.map_ids

    def due(self, filled: bool, teaches: bool) -> bool:
        """Whether this filter may take the earlier one's place now; notes what it waits for.

        `filled`: it has all rules. `teaches`: it has a flow memory, which has to learn first.
        """
        now = time.monotonic()
        learns = teaches and not self.kept.memories and now < self._began + LEARN_SECONDS
        if self.earlier is None:
            return False
        if not filled:
            self.waits_for = _NOT_FILLED
        elif learns:
            self.waits_for = "the flow memory of this version learns which flows there are"
        elif self.problem:
            self.waits_for = self.problem
        return filled and not learns and now >= self._again_at

    def take_over(self, programs_by_index: Mapping[int, int], present: Iterable[Link]) -> bool:
        """Replace the earlier filter's programs; return whether this filter is in force now.

        `programs_by_index`: the program of each interface, by the interface's index. The filter is
        taken off other interfaces: they are no longer configured.
        """
        earlier = self.earlier
        assert earlier  # noqa: S101  # the caller asks only then
        present = list(present)
        press(self.own, pressed(earlier))
        try:
            self._replace(programs_by_index, present)
        except AttachError as error:
            self.problem = self.waits_for = f"an interface refused its program: {error}"
            self._again_at = time.monotonic() + _AGAIN_SECONDS
            log.error("the earlier filter stays in force: %s", error)
            return False
        if not self.kept.memories:
            self._stop_teaching(earlier, present)
        self._point(CURRENT)
        (self.own.directory / NEXT).unlink(missing_ok=True)
        self.earlier, self.waits_for, self.problem = None, "", ""
        rcu.wait()  # until no packet is in the earlier programs, whose stages end with their pins
        remove_filter(earlier)
        log.info("the filter of this version is in force, in the place of the earlier one")
        return True

    def _replace(self, programs_by_index: Mapping[int, int], present: Iterable[Link]) -> None:
        """Replace the earlier programs on all interfaces, or put them back on all of them."""
        replaced: list[tuple[Link, str, int, int]] = []
        try:
            for link in present:
                with self._earlier_program(link) as theirs:
                    if theirs is None:
                        continue
                    ours, mode = programs_by_index.get(link.index), link.xdp_mode or "native"
                    if ours is None:
                        netlink.detach(link, theirs)
                        log.warning("%s: no longer configured, so it is not filtered", link.name)
                        continue
                    netlink.attach(link, ours, mode, expected_fd=theirs)
                    replaced.append((link, mode, ours, os.dup(theirs)))
        except AttachError:
            for link, mode, ours, theirs in replaced:
                with suppress(AttachError):  # it is filtered in either case
                    netlink.attach(link, theirs, mode, expected_fd=ours)
            raise
        finally:
            for *_, theirs in replaced:
                os.close(theirs)

    @contextmanager
    def _earlier_program(self, link: Link) -> Iterator[int | None]:
        """The descriptor of the earlier filter's program on an interface; None without one."""
        if link.program_id is None:
            yield None
            return
        with opened(link.program_id) as fd:
            yield fd if self.is_earlier(programs.info(fd)) else None

    def _stop_teaching(self, earlier: Pins, present: Iterable[Link]) -> None:
        memories_id = maps.map_id_at(earlier.map("memories"))
        for link in present:
            with suppress(AttachError):  # the interface has disappeared meanwhile
                egress.detach(link.index, memories_id)


def _slots_id(pins: Pins) -> int:
    return maps.map_id_at(pins.map("slots"))
