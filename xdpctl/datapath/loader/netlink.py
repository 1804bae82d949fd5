# SPDX-License-Identifier: GPL-2.0-or-later
"""Interfaces, their addresses and their XDP programs, over netlink.

pyroute2's synchronous sockets belong to the thread that created them, so every call here creates
its own. pyroute2's errors have no extack text, so this module explains what an errno means for
XDP.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK

from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader.link_layers import LinkLayer, layer_of
from xdpctl.errors import AttachError

log = logging.getLogger("xdpctl.links")
# linux/if_link.h
_FLAG_NOEXIST, _FLAG_GENERIC, _FLAG_NATIVE, _FLAG_REPLACE = 1, 2, 4, 16
# as pyroute2 names enum XDP_ATTACHED_*
_MODES = {"xdp": "native", "xdpgeneric": "generic", "xdpoffload": "offload", "xdpmulti": "several"}
_FLAG_OF = {"native": _FLAG_NATIVE, "generic": _FLAG_GENERIC}
# kinds of interfaces whose packets are those of the one below
_LAYERED = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"}
_MEANING = {
    errno.EOPNOTSUPP: "its driver has no native XDP",
    errno.ERANGE: "its MTU is too large for its driver's XDP",
    errno.EINVAL: "its driver rejects it (often LRO, a queue count or the MTU: see xdpctl doctor)",
    errno.ENOMEM: "its driver could not allocate memory for XDP queues",
    errno.ENODEV: "it disappeared during the attach",
    errno.EBUSY: "another program was attached first",
    errno.EEXIST: "another program was attached first",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; `xdp_mode` is native, generic, offload, several or None.

    `layer` is None if its frames cannot be read. `received`: packets so far. `master` and `below`
    are the indexes of the bridge or bond that it belongs to, and of the interface that it is a VLAN
    or the like of; 0: none.
    """

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    kind: str
    layer: LinkLayer | None
    xdp_mode: str | None
    program_id: int | None
    received: int = 0
    master: int = 0
    below: int = 0


def unreadable(link: Link) -> str:
    """Why an interface of another kind cannot be filtered."""
    return (
        f"{link.name} ({link.kind or 'its kind'}) has frames that xdpctl cannot read: filter on "
        "the interface on which they arrive, or behind it"
    )


class AttachRefused(AttachError):
    """The kernel refused to attach a program.

    `gone`: the interface has disappeared. `taken`: another program was attached first.
    """

    def __init__(self, interface: str, mode: str, code: int) -> None:
        meaning = _MEANING.get(code, f"errno {code}")
        super().__init__(f"XDP cannot be attached to {interface} in {mode} mode: {meaning}")
        self.code, self.meaning = code, meaning
        self.gone = code == errno.ENODEV
        self.taken = code in (errno.EBUSY, errno.EEXIST)


@contextmanager
def netlink_socket() -> Iterator[Any]:
    """A netlink socket for the calling thread; its errors are raised as AttachError."""
    try:
        with IPRoute() as netlink:
            yield netlink
    except (NetlinkError, OSError) as error:
        raise AttachError(f"a netlink request failed: {error}") from error


def links() -> list[Link]:
    """All interfaces of this network namespace."""
    with netlink_socket() as netlink:
        return [_link(message) for message in netlink.get_links()]


def _link(message: Any) -> Link:
    xdp = message.get_attr("IFLA_XDP")
    mode = xdp.get_attr("IFLA_XDP_ATTACHED") if xdp else None
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        up=bool(message["flags"] & 1),
        mtu=message.get_attr("IFLA_MTU") or 0,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        kind=kind,
        layer=layer_of(message["ifi_type"], kind, _has_remote(info)),
        xdp_mode=_MODES.get(mode or ""),
        program_id=xdp.get_attr("IFLA_XDP_PROG_ID") if mode else None,
        received=int((message.get_attr("IFLA_STATS64") or {}).get("rx_packets", 0)),
        master=message.get_attr("IFLA_MASTER") or 0,
        below=_below(message, kind),
    )


def _below(message: Any, kind: str) -> int:
    """The other end of a veth pair, and what is in another namespace, is not below."""
    if kind == "veth" or message.get_attr("IFLA_LINK_NETNSID") is not None:
        return 0
    return message.get_attr("IFLA_LINK") or 0


def vrf_of(link: Link, present: Iterable[Link]) -> str:
    """The name of the VRF that an interface belongs to; empty if it is in none."""
    return next((each.name for each in present if each.index == link.master and _is_vrf(each)), "")


def _is_vrf(link: Link) -> bool:
    return link.kind == "vrf"


def with_above(index: int, present: Iterable[Link]) -> list[int]:
    """The index, and those of all interfaces by which its packets may come in further up.

    What comes out of a tunnel was sent by another host, and a VRF has packets of all its members.
    """
    links, found = list(present), {index}
    masters = {link.index for link in links if not _is_vrf(link)}
    while True:
        above = {link.master for link in links if link.index in found and link.master in masters}
        above |= {link.index for link in links if link.below in found and link.kind in _LAYERED}
        if above <= found:
            return sorted(found)
        found |= above


def _has_remote(info: Any) -> bool:
    """Whether a tunnel has one far end, or learns it from each packet's metadata."""
    data: Any = info.get_attr("IFLA_INFO_DATA") if info else None
    if not hasattr(data, "get_attr"):
        return False
    remote = data.get_attr("IFLA_GRE_REMOTE") or "::"
    many = ip_address(remote).is_unspecified or ip_address(remote).is_multicast
    return not many or data.get_attr("IFLA_GRE_COLLECT_METADATA") is not None


@contextmanager
def opened(program_id: int) -> Iterator[int]:
    """Open a program by its id for a block; AttachError if it has been unloaded meanwhile."""
    try:
        fd = programs.open_by_id(program_id)
    except OSError as error:
        raise AttachError(f"the program {program_id} was unloaded meanwhile: {error}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def attach(link: Link, program_fd: int, mode: str, expected_fd: int | None = None) -> None:
    """Attach a program to an interface without one, or atomically replace `expected_fd`.

    AttachRefused if the kernel refuses, for example because another program is attached.
    """
    flags = _FLAG_OF[mode] | (_FLAG_NOEXIST if expected_fd is None else _FLAG_REPLACE)
    attrs = [("IFLA_XDP_FD", program_fd), ("IFLA_XDP_FLAGS", flags)]
    if expected_fd is not None:
        attrs.append(("IFLA_XDP_EXPECTED_FD", expected_fd))
    _set_xdp(link, mode, attrs)


def detach(link: Link, expected_fd: int) -> None:
    """Detach the program `expected_fd`; AttachRefused if another one is attached."""
    mode = link.xdp_mode or "native"
    flags = _FLAG_OF.get(mode, _FLAG_NATIVE) | _FLAG_REPLACE
    attrs = [("IFLA_XDP_FD", -1), ("IFLA_XDP_FLAGS", flags)]
    _set_xdp(link, mode, [*attrs, ("IFLA_XDP_EXPECTED_FD", expected_fd)])


def _set_xdp(link: Link, mode: str, attrs: list[tuple[str, int]]) -> None:
    with netlink_socket() as netlink:
        try:
            netlink.link("set", index=link.index, xdp={"attrs": attrs})
        except NetlinkError as error:
            raise AttachRefused(link.name, mode, error.code) from error


def driver(interface: str) -> str:
    """The name of an interface's kernel driver, or "virtual" if it has none."""
    path = Path("/sys/class/net") / interface / "device" / "driver"
    return path.resolve().name if path.exists() else "virtual"


def watch(changed: Callable[[], None]) -> threading.Thread:
    """Start a thread that calls `changed` after every link or address event."""
    ready = threading.Event()

    def listen() -> None:
        with netlink_socket() as netlink:
            netlink.bind(groups=RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
            ready.set()
            while True:
                for _ in netlink.get():
                    changed()

    def keep_listening() -> None:
        while True:
            try:
                listen()
            except AttachError as error:  # often ENOBUFS: events came faster than they were read
                log.warning("netlink events were lost, reading all interfaces again: %s", error)
                changed()
                time.sleep(1)

    thread = threading.Thread(target=keep_listening, name="netlink", daemon=True)
    thread.start()
    ready.wait(5)
    return thread
