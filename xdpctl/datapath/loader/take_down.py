# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the filter off every interface, and removes its pins."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from xdpctl.datapath.bpf import bpffs, maps, programs
from xdpctl.datapath.bpf.pins import CURRENT, FRESH, NEXT, Pins
from xdpctl.datapath.loader import egress, netlink
from xdpctl.datapath.loader.behind import Kept, take_off
from xdpctl.datapath.loader.netlink import Link, opened
from xdpctl.errors import AttachError

OURS = ("xdpctl", "outside")  # names of our programs


def slots_ids(directory: Path) -> set[int]:
    """The ids of the map `slots` of all filters in a directory, which tell their programs."""
    paths = (pins.map("slots") for pins in Pins.all(directory))
    return {maps.map_id_at(path) for path in paths if path.exists()}


def remove_filter(pins: Pins) -> None:
    """Remove the pins of a filter that is on no interface."""
    for path in sorted(pins.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    pins.root.rmdir()


def _detach_ours(ours: Collection[int], present: Iterable[Link], kept: Kept) -> list[str]:
    detached = []
    for link in present:
        if link.program_id is None:
            continue
        with opened(link.program_id) as fd:
            if not set(ours).isdisjoint(programs.info(fd).map_ids):
                take_off(link, fd, kept)
                detached.append(link.name)
    return detached


def _detach_orphans(names: Collection[str], kept: Kept) -> list[str]:
    """Detach programs with our names from these interfaces, whatever maps they use."""
    detached = []
    for link in netlink.links():
        if link.name in names and link.program_id is not None:
            with opened(link.program_id) as fd:
                if programs.info(fd).name in OURS:
                    take_off(link, fd, kept)
                    detached.append(link.name)
    return detached


def take_down(pins: Pins, orphans: Collection[str] = ()) -> list[str]:
    """Detach xdpctl's programs and remove the pins; the names of the detached interfaces.

    Another tool's program that was behind the filter is attached in the filter's place.

    From the interfaces in `orphans`, a filter of xdpctl is detached even if it has other pins.
    """
    filters, present, kept = Pins.all(pins.directory), netlink.links(), Kept(pins)
    names = _detach_ours(slots_ids(pins.directory), present, kept)
    for memories in (pins.map("memories") for pins in filters):
        if not memories.exists():
            continue
        memories_id = maps.map_id_at(memories)
        for link in present:
            with suppress(AttachError):  # it has disappeared meanwhile
                egress.detach(link.index, memories_id)
    names += _detach_orphans(orphans, kept)
    for filter_pins in filters:
        remove_filter(filter_pins)
    for link_name in (CURRENT, NEXT, FRESH):
        (pins.directory / link_name).unlink(missing_ok=True)
    kept.remove()
    if pins.lock_dir.is_dir():
        pins.lock_dir.rmdir()
    bpffs.leave(pins.directory)
    return names
