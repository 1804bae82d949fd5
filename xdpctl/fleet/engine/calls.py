# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of etcd's gRPC API that take one request, and how its keys and values are written."""

from typing import Any

from xdpctl.fleet.engine import etcd_pb2

pb: Any = etcd_pb2  # generated, without types
_CALLS: dict[str, tuple[str, Any, Any]] = {
    "Range": ("KV/Range", pb.RangeRequest, pb.RangeResponse),
    "Txn": ("KV/Txn", pb.TxnRequest, pb.TxnResponse),
    "LeaseGrant": ("Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse),
    "LeaseRevoke": ("Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse),
    "Status": ("Maintenance/Status", pb.StatusRequest, pb.StatusResponse),
    "MemberList": ("Cluster/MemberList", pb.MemberListRequest, pb.MemberListResponse),
}


def method(channel: Any, name: str) -> Any:
    """One of the calls of etcd, on a channel."""
    path, request_type, response_type = _CALLS[name]
    return channel.unary_unary(
        f"/etcdserverpb.{path}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )


def text_of(value: bytes | None) -> str:
    """A short text that root has written."""
    return (value or b"").decode(errors="replace")[:64]


def span(prefix: str) -> tuple[bytes, bytes]:
    """The first key below a prefix, and the end of the range."""
    first = prefix.encode()
    return first, first[:-1] + bytes([first[-1] + 1])
