# SPDX-License-Identifier: GPL-2.0-or-later
"""A configured interface and its state."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from xdpctl.datapath.bpf.programs import ProgramInfo
from xdpctl.datapath.loader.netlink import Link
from xdpctl.datapath.loader.stages import Staged
from xdpctl.errors import AttachError

log = logging.getLogger("xdpctl.loader")


@dataclass(slots=True)
class AttachedInterface:
    """The state of one configured interface; `reason` says why it is in generic mode."""

    name: str
    staged: Staged
    state: str = "absent"
    mode: str | None = None
    detail: str = "no such interface yet"
    reason: str = ""
    index: int | None = None

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


def find(port: AttachedInterface, present: Iterable[Link]) -> Link | None:
    """The link of a configured interface, by its name, or by its index after a rename."""
    by_name = {link.name: link for link in present}
    if port.name in by_name:
        return by_name[port.name]
    return next((link for link in present if link.index == port.index), None)


def foreign(link: Link, info: ProgramInfo) -> AttachError:
    """The error for an interface that has another tool's XDP program."""
    return AttachError(
        f"{link.name} already has an XDP program that is not xdpctl's: {info.name or 'unnamed'} "
        f"(id {info.id}, tag {info.tag}, {link.xdp_mode} mode). It was not changed. Stop the tool "
        f"that attached it, or detach it with: ip link set dev {link.name} xdp off"
    )
