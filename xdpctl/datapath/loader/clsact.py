# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs at TC egress by the clsact qdisc, where the kernel has no tcx (before Linux 6.6)."""

import errno
import sys
from typing import Any, NamedTuple

from pyroute2.netlink.exceptions import NetlinkError

from xdpctl.datapath.loader.netlink import netlink_socket
from xdpctl.errors import AttachError

_EGRESS = 0xFFFFFFF3  # ffff:fff3
_INGRESS = 0xFFFFFFF2
_ALL = 3  # ETH_P_ALL
_PROGRAM_ID = 11  # TCA_BPF_ID
_HEADER_BYTES = 4  # of a netlink attribute


class Filter(NamedTuple):
    """A BPF filter at egress; filters are run by `preference`."""

    preference: int
    handle: int
    program_id: int


def filters(ifindex: int) -> list[Filter]:
    """The BPF filters at egress in their order; other filters are left out."""
    with netlink_socket() as netlink:
        # of one preference the newest is first, and its handle is the highest
        return sorted(
            _filters(netlink, ifindex),
            key=lambda bpf_filter: (bpf_filter.preference, -bpf_filter.handle),
        )


def _filters(netlink: Any, ifindex: int) -> list[Filter]:
    if not _has_qdisc(netlink, ifindex):
        return []
    bpf_filters = []
    for message in netlink.get_filters(index=ifindex, parent=_EGRESS):
        options = message.get_attr("TCA_OPTIONS")
        program = _program_id(options) if message.get_attr("TCA_KIND") == "bpf" else None
        if program is not None:
            bpf_filters.append(Filter(message["info"] >> 16, message["handle"], program))
    return bpf_filters


def _program_id(options: Any) -> int | None:
    """The program's id, in an attribute that pyroute2 does not decode; None if there is none."""
    for _, value in options["attrs"] if options else ():
        header = value["header"] if isinstance(value, dict) and "header" in value else {}
        if header.get("type") == _PROGRAM_ID:
            begin = value.offset + _HEADER_BYTES
            return int.from_bytes(value.data[begin : begin + 4], sys.byteorder)
    return None


def _has_qdisc(netlink: Any, ifindex: int) -> bool:
    return any(
        message.get_attr("TCA_KIND") == "clsact" for message in netlink.get_qdiscs(index=ifindex)
    )


def attach(ifindex: int, program_fd: int, name: str) -> None:
    """Attach a program before all filters that have another preference than 1."""
    with netlink_socket() as netlink:
        if not _has_qdisc(netlink, ifindex):
            try:
                netlink.tc("add", "clsact", index=ifindex)
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise AttachError(f"the kernel has no clsact qdisc: {error}") from error
        netlink.tc(
            "add-filter",
            "bpf",
            index=ifindex,
            parent=_EGRESS,
            prio=1,
            protocol=_ALL,
            fd=program_fd,
            name=name,
            direct_action=True,
        )


def detach(ifindex: int, bpf_filter: Filter) -> None:
    """Detach a filter, and the qdisc with the last one."""
    with netlink_socket() as netlink:
        netlink.tc(
            "del-filter",
            "bpf",
            index=ifindex,
            parent=_EGRESS,
            prio=bpf_filter.preference,
            protocol=_ALL,
            handle=bpf_filter.handle,
        )
        ingress = list(netlink.get_filters(index=ifindex, parent=_INGRESS))
        if not ingress and not list(netlink.get_filters(index=ifindex, parent=_EGRESS)):
            netlink.tc("del", "clsact", index=ifindex)
