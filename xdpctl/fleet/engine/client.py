# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of etcd: reads, transactions, watches and leases, at one member at a time.

If a member does not answer, the next one is used, and what runs at the old one ends. So one thread
that notices a failure is enough for all.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from xdpctl.errors import CompactedError, EngineError, EngineFullError
from xdpctl.fleet.engine import etcd_pb2
from xdpctl.fleet.engine.values import Batch, Held, Snapshot, Swap, Swapped

pb: Any = etcd_pb2  # generated, without types
SECONDS = 1.5  # for a request
_SNAPSHOT_SECONDS = 20.0  # for a page of many keys
_PAGE = 5_000  # keys
_MESSAGE_MAX = 64 << 20  # bytes of an answer
_HAS_LEADER = (("hasleader", "true"),)  # a member that is cut off ends the watch, and says so
_DELETED = 1
_MOD_REVISION = 2  # the target of a comparison
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_MAX),
    ("grpc.keepalive_time_ms", 6_000),  # etcd refuses less than 5 s
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_CALLS: dict[str, tuple[str, Any, Any]] = {
    "Range": ("KV/Range", pb.RangeRequest, pb.RangeResponse),
    "Txn": ("KV/Txn", pb.TxnRequest, pb.TxnResponse),
    "LeaseGrant": ("Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse),
    "LeaseRevoke": ("Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse),
    "Status": ("Maintenance/Status", pb.StatusRequest, pb.StatusResponse),
}
Credentials = Callable[[], Any]  # grpc.ChannelCredentials; None for a channel without TLS


class Engine:
    """etcd at some endpoints (`HOST:PORT`); usable from any thread. Close it after use.

    `prefix` precedes every key; it is not part of the keys that are given and returned.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials = lambda: None,
        server_name: str = "",
        prefix: str = "",
    ) -> None:
        self._prefix = prefix
        self._endpoints, self._credentials = tuple(endpoints), credentials
        self._options: list[tuple[str, int | str]] = [*_OPTIONS]
        if server_name:
            self._options.append(("grpc.ssl_target_name_override", server_name))
        self._lock = threading.Lock()
        self._turn, self._closed = 0, False
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """The member that is used now."""
        return self._endpoints[self._turn % len(self._endpoints)]

    @property
    def turn(self) -> int:
        """A number that grows when another member, or a new connection, is used."""
        return self._turn

    def close(self) -> None:
        """End all that runs."""
        with self._lock:
            self._closed = True
            self._drop()

    def turn_away(self, turn: int) -> None:
        """Use the next member, unless somebody has turned since `turn`; what runs there ends."""
        with self._lock:
            if turn == self._turn:
                self._turn += 1
                self._drop()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, self._methods = None, {}

    def _open(self) -> tuple[Any, int]:
        """The channel, and the turn that it belongs to. EngineError if it cannot be made."""
        with self._lock:
            if self._closed:
                raise EngineError("the connection to the fleet's engine is closed")
            if self._channel is None:
                self._channel = self._made()
            return self._channel, self._turn

    def _made(self) -> Any:
        try:
            credentials = self._credentials()
        except OSError as error:
            raise EngineError(f"this node's certificate cannot be read: {error}") from error
        if credentials is None:
            return grpc.insecure_channel(self.endpoint, options=self._options)
        return grpc.secure_channel(self.endpoint, credentials, options=self._options)

    def _call(self, name: str, request: Any, seconds: float = SECONDS) -> Any:
        channel, turn = self._open()
        path, asked, answered = _CALLS[name]
        with self._lock:
            method = self._methods.get(name)
            if method is None or self._channel is not channel:
                method = channel.unary_unary(
                    f"/etcdserverpb.{path}",
                    request_serializer=asked.SerializeToString,
                    response_deserializer=answered.FromString,
                )
                self._methods[name] = method
        with self._failing(turn):
            return method(request, timeout=seconds, metadata=_HAS_LEADER)

    @contextmanager
    def _failing(self, turn: int) -> Iterator[None]:
        """Raise EngineError for what gRPC raises, and turn to the next member if this one fails."""
        try:
            yield
        except ValueError as error:  # the channel was closed by another thread
            raise EngineError(f"the connection to {self.endpoint} ended") from error
        except grpc.RpcError as error:
            raise self._explained(error, turn) from error

    def _explained(self, error: Any, turn: int) -> EngineError:
        code, text = error.code(), str(error.details() or "")[:300]
        if code is grpc.StatusCode.OUT_OF_RANGE and "compacted" in text:
            return CompactedError(text)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "space" in text:
            return EngineFullError(
                "the fleet's engine is full (etcd's quota). What is stated stays on this node "
                "until there is room: see `xdpctl fleet status`"
            )
        if code is grpc.StatusCode.PERMISSION_DENIED:
            return EngineError(f"the fleet's engine refuses this node: {text}")
        endpoint = self.endpoint
        self.turn_away(turn)
        return EngineError(f"the fleet's engine at {endpoint}: {code.name.lower()}: {text}")

    def status(self) -> Any:
        """The version, size and leader of the member, as etcd answers."""
        return self._call("Status", pb.StatusRequest())

    def get(self, key: str) -> Held | None:
        """The value of a key, as a majority has it; None if there is none."""
        answer = self._call("Range", pb.RangeRequest(key=self._key(key)))
        return next(map(self._held, answer.kvs), None)

    def snapshot(self, prefix: str, keys_only: bool = False) -> Snapshot:
        """All keys below a prefix, as a majority has them at one revision."""
        first, end = span(self._prefix + prefix)
        held: list[Held] = []
        revision, cluster = 0, 0
        while True:
            asked = pb.RangeRequest(
                key=first, range_end=end, limit=_PAGE, revision=revision, keys_only=keys_only
            )
            answer = self._call("Range", asked, _SNAPSHOT_SECONDS if held else SECONDS * 4)
            held += map(self._held, answer.kvs)
            revision, cluster = revision or answer.header.revision, answer.header.cluster_id
            if not answer.more:
                return Snapshot(held, revision, cluster)
            first = answer.kvs[-1].key + b"\0"

    def swap(self, swaps: Sequence[Swap]) -> Swapped:
        """Write all, if each key still has its base revision; otherwise none.

        EngineError also if it is not known whether it was written.
        """
        asked = pb.TxnRequest(
            compare=[
                pb.Compare(target=_MOD_REVISION, key=self._key(s.key), mod_revision=s.base)
                for s in swaps
                if s.base is not None
            ],
            success=[self._operation(each) for each in swaps],
            failure=[
                pb.RequestOp(request_range=pb.RangeRequest(key=self._key(s.key))) for s in swaps
            ],
        )
        answer = self._call("Txn", asked, SECONDS * 2)
        found: dict[str, Held] = {}
        if not answer.succeeded:
            for response in answer.responses:
                found |= {held.key: held for held in map(self._held, response.response_range.kvs)}
        return Swapped(bool(answer.succeeded), int(answer.header.revision), found)

    def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Write a key whatever it has; the revision."""
        return self.swap([Swap(key, value, None, lease)]).revision

    def remove_below(self, prefix: str) -> None:
        """Delete all keys below a prefix."""
        first, end = span(self._prefix + prefix)
        request = pb.DeleteRangeRequest(key=first, range_end=end)
        deletion = pb.RequestOp(request_delete_range=request)
        self._call("Txn", pb.TxnRequest(success=[deletion]), SECONDS * 2)

    def grant(self, seconds: float) -> int:
        """A lease of so many seconds, rounded up: keys with it vanish when it ends."""
        answer = self._call("LeaseGrant", pb.LeaseGrantRequest(TTL=max(1, -int(-seconds // 1))))
        return int(answer.ID)

    def revoke(self, lease: int) -> None:
        """End a lease, and delete its keys."""
        self._call("LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))

    def keep_alive(self, lease: int) -> bool:
        """Renew a lease; False if it has ended."""
        channel, turn = self._open()
        method = channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=pb.LeaseKeepAliveResponse.FromString,
        )
        with self._failing(turn):
            requests = iter([pb.LeaseKeepAliveRequest(ID=lease)])
            for answer in method(requests, timeout=SECONDS, metadata=_HAS_LEADER):
                return bool(answer.TTL > 0)
        return False

    def watch(self, prefix: str, after: int) -> Iterator[Batch]:
        """The changes below a prefix after a revision, as they come.

        CompactedError if they are not kept any more; EngineError if the connection ends.
        """
        channel, turn = self._open()
        first, end = span(self._prefix + prefix)
        create = pb.WatchCreateRequest(
            key=first, range_end=end, start_revision=after + 1, fragment=True
        )
        ended = threading.Event()

        def requests() -> Iterator[Any]:
            yield pb.WatchRequest(create_request=create)
            ended.wait()

        method = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        with self._failing(turn):
            call = method(requests(), metadata=_HAS_LEADER)
            try:
                for answer in call:
                    if answer.compact_revision:
                        raise CompactedError(f"compacted up to {answer.compact_revision}")
                    if answer.canceled:
                        self.turn_away(turn)
                        raise EngineError(f"the watch was ended: {answer.cancel_reason}")
                    changes = [self._changed(event) for event in answer.events]
                    yield Batch(changes, int(answer.header.revision), not answer.fragment)
            finally:
                ended.set()
                call.cancel()
        raise EngineError("the watch ended")

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _operation(self, swap: Swap) -> Any:
        key = self._key(swap.key)
        if swap.value is None:
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
        return pb.RequestOp(request_put=pb.PutRequest(key=key, value=swap.value, lease=swap.lease))

    def _held(self, kv: Any) -> Held:
        key = kv.key.decode(errors="replace").removeprefix(self._prefix)
        return Held(key, kv.value, int(kv.mod_revision), int(kv.create_revision))

    def _changed(self, event: Any) -> Held:
        held = self._held(event.kv)
        return held._replace(value=None) if event.type == _DELETED else held


def span(prefix: str) -> tuple[bytes, bytes]:
    """The first key below a prefix, and the end of the range."""
    first = prefix.encode()
    return first, first[:-1] + bytes([first[-1] + 1])
