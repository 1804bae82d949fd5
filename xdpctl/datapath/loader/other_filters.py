# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters in the pin directory beside the own one: earlier ones, and given-up ones."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from xdpctl.datapath.bpf import maps, programs, rcu
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.interface import AttachedInterface, find
from xdpctl.datapath.loader.netlink import Link, opened
from xdpctl.datapath.loader.pinned_maps import frozen
from xdpctl.datapath.loader.take_down import remove_filter
from xdpctl.errors import AttachError


class OtherFilters:
    """The other filters, by the id of their map `slots`, which all of their programs use."""

    def __init__(self, own: Pins) -> None:
        self._own = own
        self._by_slots: dict[int, Pins] = {}
        for pins in Pins.all(own.directory):
            if pins.name != own.name and pins.map("slots").exists():
                self._by_slots[maps.map_id_at(pins.map("slots"))] = pins
            elif pins.name != own.name:
                remove_filter(pins)  # it was never finished, so no program can use it

    def owner(self, info: programs.ProgramInfo) -> Pins | None:
        """The filter that a program belongs to; None if it is none of these."""
        ids = self._by_slots.keys() & set(info.map_ids)
        return self._by_slots[ids.pop()] if ids else None

    @contextmanager
    def program(self, link: Link) -> Iterator[tuple[int, programs.ProgramInfo] | None]:
        """The descriptor and identity of such a filter's program on an interface, or None."""
        with ExitStack() as opening:
            found = None
            with suppress(AttachError):  # it was replaced meanwhile, so it is looked at again
                if link.program_id is not None:
                    fd = opening.enter_context(opened(link.program_id))
                    info = programs.info(fd)
                    found = (fd, info) if self.owner(info) else None
            yield found

    def interface(self, info: programs.ProgramInfo) -> str:
        """The configured name of the interface whose counters a program counts; "" if unknown."""
        owner = self.owner(info)
        for port in owner.ports() if owner else ():
            with suppress(OSError):  # it was removed meanwhile
                if maps.map_id_at(port / "counters") in info.map_ids:
                    return Pins.interface(port)
        return ""

    def programs(
        self, ports: Mapping[str, AttachedInterface], present: list[Link]
    ) -> dict[int, AttachedInterface]:
        """The configured interface of each link, by index; a renamed one is found by its counters.

        A new loader does not know under which name an interface was configured.
        """
        by_index = {
            link.index: port for port in ports.values() if (link := find(port, present)) is not None
        }
        for link in present:
            with self.program(link) as found:
                port = ports.get(self.interface(found[1])) if found else None
            if port and link.index not in by_index and find(port, present) is None:
                port.index = link.index
                by_index[link.index] = port
        return by_index

    def remove_idle(self, present: list[Link], stays: Pins | None) -> None:
        """Remove the filters that are on no interface, except `stays`, with what they teach."""
        idle = {pins.name for pins in self._by_slots.values()} - {stays.name if stays else ""}
        if not idle:
            return
        for link in present:
            with self.program(link) as found:
                if found and (owner := self.owner(found[1])):
                    idle.discard(owner.name)
        if idle:
            rcu.wait()  # until no packet is in their programs, whose stages end with their pins
        for slots_id, pins in list(self._by_slots.items()):
            if pins.name in idle:
                shared = [_memories_id(other) for other in (self._own, stays) if other]
                if _memories_id(pins) not in shared:
                    self.stop_teaching(pins, (), present)
                del self._by_slots[slots_id]
                remove_filter(pins)

    def stop_teaching(self, pins: Pins, outside: Collection[int], present: list[Link]) -> None:
        """Detach a filter's programs at TC egress, but for the interfaces with these indexes."""
        theirs = _memories_id(pins)
        for link in present if theirs else ():
            if link.index not in outside:
                with suppress(AttachError):  # the interface has disappeared meanwhile
                    egress.detach(link.index, theirs)


def _memories_id(pins: Pins) -> int:
    path = pins.map("memories")
    return maps.map_id_at(path) if path.exists() else 0


def held_writable(pins: Pins) -> list[memoryview]:
    """Map all maps of a filter for writing: no process can freeze one of them meanwhile.

    SchemaError if one of them is frozen.
    """
    paths = [*pins.root.iterdir(), *(port / "port" for port in pins.ports())]
    held = []
    for path in (path for path in paths if path.is_file()):
        pinned = maps.open_map(path)
        try:
            if pinned.mappable:
                held.append(pinned.memory())
        except OSError as error:
            raise frozen(path, error) from error
        finally:
            pinned.close()
    return held
