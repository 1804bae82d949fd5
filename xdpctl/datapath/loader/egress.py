# SPDX-License-Identifier: GPL-2.0-or-later
"""The program at TC egress of outside interfaces, which records what goes out in the flow memory.

It also drops what has a forged source, what goes out to the prefixes of sets for that, and what
exceeds a limit of a host inside, by other programs that it tail-calls.

It is attached by tcx where the kernel has it (Linux 6.6), else by a clsact qdisc. It runs before
other programs, which still run after it. Like the filter, it outlives this process.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xdpctl.abi.constants import Leaving
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader import clsact
from xdpctl.errors import AttachError

NAME = "teach"
LOOK_UP = "outgoing"  # it asks the table of the filter in force
STAGES: dict[Leaving, str] = {
    Leaving.TELL: "tell",
    Leaving.LET_OUT: "let_out",
    Leaving.OBSERVE: "observe_out",
    Leaving.POLICE: "police",
    Leaving.VALIDATE: "validate",
}
PROGRAMS = (NAME, LOOK_UP, *STAGES.values())
LEAVING, SEARCHES = "leaving", "searches"  # the maps that only these programs use
_WITHOUT_TCX = (errno.EINVAL, errno.EOPNOTSUPP)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AttachError(f"the kernel refused it: {error.strerror}") from error


def _uses(program_id: int, map_id: int) -> bool:
    """Whether a program uses the map with this id; False if it is gone meanwhile."""
    try:
        fd = programs.open_by_id(program_id)
    except FileNotFoundError:
        return False
    try:
        return map_id in programs.info(fd).map_ids
    finally:
        os.close(fd)


def _by_tcx(ifindex: int) -> list[int] | None:
    """The ids of the programs by tcx; None if the kernel has no tcx."""
    try:
        return programs.attached(ifindex)
    except OSError as error:
        if error.errno in _WITHOUT_TCX:
            return None
        raise


def _with_fd(program_id: int, do: Callable[[int], None]) -> None:
    fd = programs.open_by_id(program_id)
    try:
        do(fd)
    finally:
        os.close(fd)


def attach(ifindex: int, program_fd: int, memories_id: int) -> str:
    """Attach the program unless it is attached, in place of an earlier one; return the means.

    `memories_id` is the id of a map that all of our programs use, and no others. AttachError if the
    kernel refuses.
    """
    with _refusals():
        ours = programs.info(program_fd).id
        present = _by_tcx(ifindex)
        if present is None:
            return _attach_clsact(ifindex, program_fd, memories_id, ours)
        if ours not in present:
            earlier = [program_id for program_id in present if _uses(program_id, memories_id)]
            if earlier:
                _with_fd(earlier[0], lambda fd: programs.attach(ifindex, program_fd, fd))
            else:
                programs.attach(ifindex, program_fd)
            for other in earlier[1:]:
                _with_fd(other, lambda fd: programs.detach(ifindex, fd))
            present = programs.attached(ifindex)
        return _told("tcx", present, ours)


def _attach_clsact(ifindex: int, program_fd: int, memories_id: int, ours: int) -> str:
    present = clsact.filters(ifindex)
    if ours not in [bpf_filter.program_id for bpf_filter in present]:
        clsact.attach(ifindex, program_fd, NAME)
        for bpf_filter in present:
            if _uses(bpf_filter.program_id, memories_id):
                clsact.detach(ifindex, bpf_filter)
        present = clsact.filters(ifindex)
    return _told("clsact", [bpf_filter.program_id for bpf_filter in present], ours)


def _told(means: str, present: list[int], ours: int) -> str:
    """By what means the program is attached, and its place among several programs."""
    if len(present) < 2 or ours not in present:
        return means
    return f"{means}, program {present.index(ours) + 1} of {len(present)}"


def ids(ifindex: int, memories_id: int) -> set[int]:
    """The ids of our programs on an interface."""
    with _refusals():
        by_clsact = _ours_by_clsact(ifindex, memories_id)
        return {*_ours_by_tcx(ifindex, memories_id), *(one.program_id for one in by_clsact)}


def detach(ifindex: int, memories_id: int) -> bool:
    """Detach our programs from an interface; return whether there was one."""
    with _refusals():
        by_tcx, by_clsact = (
            _ours_by_tcx(ifindex, memories_id),
            _ours_by_clsact(ifindex, memories_id),
        )
        for program_id in by_tcx:
            _with_fd(program_id, lambda fd: programs.detach(ifindex, fd))
        for bpf_filter in by_clsact:
            clsact.detach(ifindex, bpf_filter)
        return bool(by_tcx or by_clsact)


def _ours_by_tcx(ifindex: int, memories_id: int) -> list[int]:
    return [one for one in _by_tcx(ifindex) or () if _uses(one, memories_id)]


def _ours_by_clsact(ifindex: int, memories_id: int) -> list[clsact.Filter]:
    return [one for one in clsact.filters(ifindex) if _uses(one.program_id, memories_id)]
