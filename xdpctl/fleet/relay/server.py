# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers nodes as a member of the engine does: the calls of etcd's API that they use."""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import grpc

from xdpctl.errors import CompactedError, ConfigError, EngineError, EngineRefusedError
from xdpctl.fleet.authority.certificates import certificate_of
from xdpctl.fleet.engine.calls import pb, span
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.watch import Watch
from xdpctl.fleet.relay.feed import AREAS, Part, event_of
from xdpctl.fleet.relay.pages import Pages
from xdpctl.fleet.relay.rights import Leases, UnknownLeaseError, check_transaction

_CALLS_MAX, _CALLS_OF_NODE = 800, 16  # at the same time; each takes a thread
_REQUEST_MAX = 2 << 20  # bytes
_EVENTS, _EVENTS_BYTES = 1_000, 1 << 20  # of a message to a node that follows
_SECONDS, _SECONDS_MOST = 1.5, 20.0  # of a request whose caller names none, and of any
_OPTIONS = (
    ("grpc.max_receive_message_length", _REQUEST_MAX),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 3_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
Trusted = Callable[[str, int], bool]  # whether a name and a certificate's number were not revoked


class Server:
    """Serves nodes at `address` (HOST:PORT) from `start` until `stop`.

    `trusted` is asked at each call, and again while one lasts. Nodes are sent to another relay
    unless it `serves`. `nodes` has who is connected.
    """

    def __init__(
        self,
        engine: Engine,
        pages: Pages,
        leases: Leases,
        trusted: Trusted,
        serves: Callable[[], bool],
    ) -> None:
        self._engine, self._pages = engine, pages
        self._trusted, self._serves = trusted, serves
        self._leases, self._lock = leases, threading.Lock()
        self._calls = Counter[str]()
        self._server: Any = grpc.server(
            ThreadPoolExecutor(_CALLS_MAX, "relay"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=_CALLS_MAX,
        )
        self._server.add_generic_rpc_handlers(self._handlers())

    @property
    def nodes(self) -> list[str]:
        """The nodes that follow, or ask something right now."""
        with self._lock:
            return sorted(self._calls)

    def start(self, address: str, credentials: Any) -> int:
        """Serve with these gRPC credentials, which ask for a certificate; the port."""
        try:
            port: int = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ConfigError(f"{address} cannot be used: {error}") from None
        self._server.start()
        return port

    def stop(self) -> None:
        """End all calls; nodes that followed go to another relay, or come again."""
        self._pages.feed.send_away()
        self._server.stop(1.0).wait()

    def _handlers(self) -> tuple[Any, ...]:
        one = grpc.unary_unary_rpc_method_handler
        both = grpc.stream_stream_rpc_method_handler
        kv = {
            "Range": one(self._range, pb.RangeRequest.FromString, bytes),
            "Txn": one(self._transaction, pb.TxnRequest.FromString, _bytes_of),
        }
        lease = {
            "LeaseGrant": one(self._grant, pb.LeaseGrantRequest.FromString, _bytes_of),
            "LeaseRevoke": one(self._revoke, pb.LeaseRevokeRequest.FromString, _bytes_of),
            "LeaseKeepAlive": both(
                self._keep_alive, pb.LeaseKeepAliveRequest.FromString, _bytes_of
            ),
        }
        watch = {"Watch": both(self._watch, pb.WatchRequest.FromString, bytes)}
        services = {"KV": kv, "Lease": lease, "Watch": watch}
        return tuple(
            grpc.method_handlers_generic_handler(f"etcdserverpb.{name}", methods)
            for name, methods in services.items()
        )

    @contextmanager
    def _asked(self, context: Any) -> Iterator[str]:
        """A call of a node, by its name; errors become what etcd would answer."""
        try:
            name, number = _caller(context)
            if not self._serves():
                raise EngineError("this relay does not serve now: the engine does not answer it")
            if not self._trusted(name, number):
                raise EngineRefusedError(f"{name} was revoked")
            with self._counted(name):
                yield name
        except EngineError as error:
            context.abort(*_status(error))

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        with self._lock:
            if self._calls[name] >= _CALLS_OF_NODE:
                raise EngineError(f"{name} asks too much at once")
            self._calls[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls[name] -= 1
                if not self._calls[name]:
                    del self._calls[name]

    def _range(self, request: Any, context: Any) -> bytes:
        with self._asked(context):
            request.DiscardUnknownFields()
            if self._pages.covers(request):
                return self._pages.answer(request)
            return _bytes_of(self._engine.call("Range", request, _seconds(context)))
        raise AssertionError

    def _transaction(self, request: Any, context: Any) -> Any:
        with self._asked(context) as node:
            check_transaction(request, node, self._engine.prefix, self._leases)
            return self._engine.call("Txn", request, _seconds(context))

    def _grant(self, request: Any, context: Any) -> Any:
        with self._asked(context) as node:
            self._leases.check_room(node, request.TTL)
            answer = self._engine.call("LeaseGrant", pb.LeaseGrantRequest(TTL=request.TTL))
            self._leases.note(answer.ID, node, answer.TTL)
            return answer

    def _revoke(self, request: Any, context: Any) -> Any:
        with self._asked(context) as node:
            self._leases.check(node, request.ID)
            self._leases.forget(request.ID, node)
            return self._engine.call("LeaseRevoke", pb.LeaseRevokeRequest(ID=request.ID))

    def _keep_alive(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        with self._asked(context) as node:
            for request in requests:
                if not self._trusted(*_caller(context)):
                    raise EngineRefusedError(f"{node} was revoked")
                yield pb.LeaseKeepAliveResponse(ID=request.ID, TTL=self._kept(node, request.ID))

    def _kept(self, node: str, lease: int) -> int:
        """The seconds for which a lease goes on; 0: it is none of this node's."""
        try:
            self._leases.check(node, lease)
        except UnknownLeaseError:
            return 0
        seconds = self._engine.keep_alive(lease)
        if seconds:
            self._leases.note(lease, node, seconds)
        else:
            self._leases.forget(lease, node)
        return seconds

    def _watch(self, requests: Iterator[Any], context: Any) -> Iterator[bytes]:
        feed, ended = self._pages.feed, threading.Event()

        def end() -> None:
            ended.set()
            feed.wake()

        with self._asked(context) as node:
            if not context.add_callback(end):
                return
            first = next(requests, None)
            create = first.create_request if first else pb.WatchCreateRequest()
            area, after = self._area(create), create.start_revision - 1
            yield self._said(feed.reached, created=True)
            number = _caller(context)[1]

            def may() -> bool:
                return not ended.is_set() and self._trusted(node, number)

            if not feed.knows(area, after):
                watch = self._engine.watch(area, after)
                context.add_callback(watch.cancel)
                after = yield from self._passed_on(watch, area, after, may)
            if after >= 0:
                for part in feed.follow(area, after, may):
                    yield from self._parts(part)
            if not ended.is_set():
                raise EngineRefusedError(f"{node} was revoked")

    def _area(self, create: Any) -> str:
        for area in AREAS:
            if (create.key, create.range_end) == span(self._engine.prefix + area):
                return area
        raise EngineRefusedError("a relay lets nodes watch what they follow, and nothing else")

    def _passed_on(
        self, watch: Watch, area: str, after: int, may: Callable[[], bool]
    ) -> Generator[bytes, None, int]:
        """A watch of its own, for a node that was away for longer than changes are kept.

        It ends at a revision from which the feed has all; the revision, -1 if it ends otherwise.
        """
        prefix, feed = self._engine.prefix, self._pages.feed
        try:
            for batch in watch:
                if not may():
                    return -1
                events = [event_of(kv, prefix) for kv in batch.changes]
                yield from self._parts(Part(events, batch.revision), batch.whole)
                after = batch.revision
                if batch.whole and feed.knows(area, after):
                    return after
        except CompactedError as error:
            yield self._said(error.revision, compact_revision=error.revision, canceled=True)
        finally:
            watch.cancel()
        return -1

    def _parts(self, part: Part, whole: bool = True) -> Iterator[bytes]:
        """Messages of some events each; all but the last of a revision are fragments."""
        events = list(part.events)
        while True:
            size, count = 0, 0
            while count < len(events) and count < _EVENTS and size < _EVENTS_BYTES:
                size += len(events[count])
                count += 1
            some, events = events[:count], events[count:]
            body = self._said(part.reached, fragment=bool(events) or not whole)
            yield body + b"".join(map(_in_list, some))
            if not events:
                return

    def _said(self, revision: int, **fields: Any) -> bytes:
        header = pb.ResponseHeader(cluster_id=self._pages.feed.cluster, revision=revision)
        return _bytes_of(pb.WatchResponse(header=header, **fields))


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _in_list(event: bytes) -> bytes:
    """A serialized event as one of a WatchResponse: field 11, of a length (wire type 2)."""
    size, length = len(event), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x5a" + bytes(length) + event


def _caller(context: Any) -> tuple[str, int]:
    """The name and the serial number of the certificate of whoever calls."""
    asked = context.auth_context()
    name = b"".join(asked.get("x509_common_name", ())[:1]).decode(errors="replace")
    return name, _serial(b"".join(asked.get("x509_pem_cert", ())[:1]))


@lru_cache(4096)
def _serial(certificate: bytes) -> int:
    try:
        return certificate_of(certificate).serial_number
    except ConfigError as error:
        raise EngineRefusedError(str(error)) from None


def _seconds(context: Any) -> float:
    """How long the caller waits, within bounds."""
    left = context.time_remaining()
    return _SECONDS if left is None else max(0.1, min(left, _SECONDS_MOST))


def _status(error: EngineError) -> tuple[Any, str]:
    """What the engine said, or what a member says that is cut off."""
    if isinstance(error, UnknownLeaseError):
        return grpc.StatusCode.NOT_FOUND, str(error)
    if isinstance(error, EngineRefusedError):
        return grpc.StatusCode.PERMISSION_DENIED, str(error)
    cause: Any = error.__cause__
    if isinstance(cause, grpc.RpcError) and cause.code() is not grpc.StatusCode.CANCELLED:
        return cause.code(), str(cause.details() or "")
    return grpc.StatusCode.UNAVAILABLE, str(error)
