# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP program of another tool behind the filter, which gets what the filter lets through.

It has a place in the program array of the filter's stages, as long as it is pinned here: so it
outlives restarts, upgrades and the filter's own programs.
"""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

from xdpctl.abi.constants import Stage
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.maps import Map, MapShape
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import F_XDP_HAS_FRAGS, Kin, ProgramInfo
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.netlink import AttachRefused, Link, opened
from xdpctl.datapath.loader.stages import STAGES_MAP
from xdpctl.errors import AttachError

_NEXT = Stage.NEXT.to_bytes(4, "little")
_XDP = 37  # BPF_XDP, with which libbpf loads programs
_KINS = [Kin(flags, kind) for flags, kind in product((F_XDP_HAS_FRAGS, 0), (0, _XDP))]
_ONE = MapShape(maps.PROGRAM_ARRAY, 4, 4, 1, 0)
_DISPATCHER = (
    "it is a dispatcher, which the kernel does not let run behind another program. Unload what it "
    "runs (xdp-loader unload --all), and load that with LIBXDP_SKIP_DISPATCHER=1 in the environment"
)


class Kept:
    """The programs behind the filter, pinned by the configured name of their interface."""

    def __init__(self, pins: Pins) -> None:
        self._directory = pins.behind_dir

    def _path(self, interface: str) -> Path:
        return self._directory / Pins.escaped(interface)

    def keep(self, interface: str, program_fd: int) -> None:
        """Pin a program in the place of an earlier one."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        fresh = self._directory / "new program"  # no interface can have this name
        fresh.unlink(missing_ok=True)
        maps.pin(program_fd, fresh)
        fresh.rename(self._path(interface))

    def forget(self, interface: str) -> None:
        """Remove the pin, if there is one."""
        self._path(interface).unlink(missing_ok=True)

    @contextmanager
    def opened(self, interface: str) -> Iterator[int | None]:
        """The descriptor of an interface's program for a block; None if there is none."""
        try:
            fd = maps.open_pin(self._path(interface))
        except FileNotFoundError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove all pins."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                path.unlink()
            self._directory.rmdir()


def named(program_fd: int) -> str:
    info = programs.info(program_fd)
    return f"{info.name or 'an unnamed program'} (id {info.id})"


@contextmanager
def _stages(info: ProgramInfo) -> Iterator[Map | None]:
    """The program array of a filter's program, of whichever version; None for other programs."""
    for identity in info.map_ids:
        try:
            array = maps.open_map_by_id(identity)
        except FileNotFoundError:  # the program was unloaded meanwhile
            continue
        with closing(array):
            if (array.shape.type, array.name) == (maps.PROGRAM_ARRAY, STAGES_MAP):
                yield array
                return
    yield None


def follower(info: ProgramInfo) -> int:
    """The id of the program behind a filter's program; 0 if there is none."""
    with _stages(info) as stages:
        return int.from_bytes((stages.get(_NEXT) if stages else None) or b"", "little")


def put(stages: Map, program_fd: int | None) -> None:
    """Put a program behind the one with these stages, or none.

    AttachError if it is of another kin.
    """
    try:
        if program_fd is None:
            stages.delete(_NEXT)
        else:
            stages.put(_NEXT, program_fd.to_bytes(4, "little"))
    except OSError as error:
        raise AttachError(f"it cannot run behind this filter: {error.strerror}") from error


def put_behind(filter_fd: int, program_fd: int | None) -> None:
    """The same for a program of an earlier filter, which may be attached."""
    with _stages(programs.info(filter_fd)) as stages:
        if stages is not None:
            put(stages, None)
            if program_fd is not None:
                put(stages, program_fd)


def kin_of(program_fd: int) -> Kin:
    """How a program must be loaded to tail-call this one; AttachError if none can."""
    for kin in _KINS:
        try:
            with closing(maps.create_map("kin", _ONE)) as array:
                caller = programs.load("kin", _tail_call(array.fd), kin)
                try:
                    array.put(bytes(4), program_fd.to_bytes(4, "little"))
                finally:
                    os.close(caller)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise AttachError(_DISPATCHER) from error
            if error.errno != errno.EINVAL:
                raise AttachError(f"it cannot run behind the filter: {error.strerror}") from error
        else:
            return kin
    raise AttachError("it is of a kind that cannot run behind another program")


def _tail_call(array_fd: int) -> bytes:
    """A program that calls the first one of an array, or passes the packet."""
    instructions = (
        (0x18, 0x12, array_fd),  # r2 = the array
        (0, 0, 0),
        (0xB7, 3, 0),  # r3 = 0
        (0x85, 0, 12),  # bpf_tail_call
        (0xB7, 0, 2),  # r0 = XDP_PASS
        (0x95, 0, 0),
    )
    return b"".join(struct.pack("<BBhi", code, of, 0, value) for code, of, value in instructions)


def check_replaceable(link: Link, program_fd: int) -> None:
    """AttachError if a program is attached in such a way that only its tool can replace it."""
    try:
        netlink.attach(link, program_fd, link.xdp_mode or "native", expected_fd=program_fd)
    except AttachRefused as error:
        if error.code != errno.EBUSY:
            raise
        raise AttachError(
            f"{link.name}: {named(program_fd)} is held by a BPF link, so that only the tool which "
            "attached it can take it off. Stop that tool, or let it leave this interface alone"
        ) from error


def take_off(link: Link, filter_fd: int, kept: Kept) -> None:
    """Detach a filter's program; the one that runs or waits behind it takes its place."""
    identity, mode = follower(programs.info(filter_fd)), link.xdp_mode or "native"
    with kept.opened(link.name) as waiting:
        if identity:
            with opened(identity) as theirs:
                netlink.attach(link, theirs, mode, expected_fd=filter_fd)
        elif waiting is not None:
            netlink.attach(link, waiting, mode, expected_fd=filter_fd)
        else:
            netlink.detach(link, filter_fd)
    kept.forget(link.name)
