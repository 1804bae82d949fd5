# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of etcd: reads, transactions, watches and leases, at one member at a time.

If a member does not answer, the next one is used, and all calls to the old one end. So it is enough
that one thread notices a failure.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from types import MappingProxyType
from typing import Any

from xdpctl.errors import EngineError
from xdpctl.fleet.engine.calls import method, pb, span, text_of
from xdpctl.fleet.engine.connection import HAS_LEADER, Connection, Credentials, TooLargeError
from xdpctl.fleet.engine.values import Held, Snapshot, Swap, Swapped
from xdpctl.fleet.engine.watch import Watch
from xdpctl.fleet.keys import EPOCH, FLEET
from xdpctl.fleet.settings import SERVER_NAME

SECONDS = 1.5  # for a request
_SNAPSHOT_SECONDS = 20.0  # for a page of many keys
_PAGE, _PAGE_LEAST = 5_000, 40  # keys; so few fit into an answer, however large their values are
_DELETED = 1
_MOD_REVISION = 2  # the target of a comparison


class Engine:
    """etcd at some endpoints (`HOST:PORT`); usable from any thread. Close it after use.

    `prefix` precedes every key; it is not part of the keys that are given and returned. `epoch` is
    the newest one that the engine of `fleet` was seen to have: a member of an earlier one, which
    comes back after the engine was restored elsewhere, is not used.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials = lambda: None,
        prefix: str = "",
        server: str = SERVER_NAME,
    ) -> None:
        self.prefix = prefix
        self.fleet, self.epoch = "", ""
        self.connection = Connection(endpoints, credentials, self._check_epoch, server)

    @property
    def endpoint(self) -> str:
        """The member that is used now."""
        return self.connection.endpoint

    @property
    def turn(self) -> int:
        """A number that grows when another member, or a new connection, is used."""
        return self.connection.turn

    @property
    def patience(self) -> float:
        """How many seconds longer than nearby an answer takes."""
        return self.connection.patience

    def connect(self) -> None:
        """Connect, if that is not done, so that the patience is known; EngineError."""
        self.connection.channel()

    def close(self) -> None:
        """End all running calls."""
        self.connection.close()

    def turn_away(self, turn: int) -> None:
        """Use the next member, unless another thread did so since `turn`; running calls end."""
        self.connection.turn_away(turn)

    def _check_epoch(self, channel: Any) -> None:
        """EngineError for a member of an engine that was replaced; it is turned away from."""
        first, end = span(self.prefix + FLEET)
        request = pb.RangeRequest(key=first, range_end=end)
        seconds = self.connection.first_seconds(SECONDS)
        answer = method(channel, "Range")(request, timeout=seconds, metadata=HAS_LEADER)
        texts = {kv.key: text_of(kv.value) for kv in map(self._held, answer.kvs)}
        fleet, epoch = texts.get(FLEET, ""), texts.get(EPOCH, "")
        if fleet == self.fleet and epoch < self.epoch:
            endpoint = self.endpoint
            self.connection.turn_away(self.turn)
            raise EngineError(
                f"the engine at {endpoint} is from before a restore, and is not used. On that "
                "host: xdpctl fleet demote"
            )
        self.fleet, self.epoch = fleet, epoch

    def call(self, name: str, request: Any, seconds: float = SECONDS) -> Any:
        """The answer to a request of etcd's API, whose keys have the prefix; EngineError."""
        channel, turn = self.connection.channel()
        seconds += self.patience
        with self.connection.failing(turn):
            answer = method(channel, name)(request, timeout=seconds, metadata=HAS_LEADER)
            self.connection.heard()
            return answer

    def get(self, key: str) -> Held | None:
        """The value of a key, as a majority has it; None if there is none."""
        answer = self.call("Range", pb.RangeRequest(key=self._key(key)))
        return next(map(self._held, answer.kvs), None)

    def elsewhere(self, key: str) -> Iterator[Held]:
        """The value of a key as each of the other members has it; those that fail are left out."""
        here, connection = self.endpoint, self.connection
        for endpoint in connection.endpoints:
            if endpoint != here:
                with suppress(EngineError), closing(self.at(endpoint)) as other:
                    if held := other.get(key):
                        yield held

    def at(self, endpoint: str) -> "Engine":
        """The same at one member alone. Close it after use."""
        connection = self.connection
        other = Engine([endpoint], connection.credentials, self.prefix, connection.server)
        other.fleet, other.epoch = self.fleet, self.epoch
        return other

    def snapshot(self, prefix: str, keys_only: bool = False) -> Snapshot:
        """All keys below a prefix, as a majority has them at one revision."""
        kvs: list[Held] = []
        last = Snapshot([], 0, 0)
        for last in self.pages(prefix, keys_only):
            kvs += last.held
        return last._replace(held=kvs)

    def pages(self, prefix: str, keys_only: bool = False) -> Iterator[Snapshot]:
        """The same in pages, all of one revision; with large values, a page has fewer keys."""
        first, end = span(self.prefix + prefix)
        revision, limit, seconds = 0, _PAGE, SECONDS * 4
        while True:
            request = pb.RangeRequest(
                key=first, range_end=end, limit=limit, revision=revision, keys_only=keys_only
            )
            try:
                answer = self.call("Range", request, seconds)
            except TooLargeError:
                if limit <= _PAGE_LEAST:
                    raise
                limit = max(_PAGE_LEAST, limit // 8)
                continue
            revision, seconds = revision or answer.header.revision, _SNAPSHOT_SECONDS
            kvs = list(map(self._held, answer.kvs))
            yield Snapshot(kvs, revision, answer.header.cluster_id)
            if not answer.more:
                return
            first = answer.kvs[-1].key + b"\0"

    def swap(
        self, swaps: Sequence[Swap], also: Mapping[str, int] = MappingProxyType({})
    ) -> Swapped:
        """Write all, if each key, and each of `also`, still has its base revision; otherwise none.

        EngineError also if it is unknown whether the transaction was written.
        """
        request = pb.TxnRequest(
            compare=[
                pb.Compare(target=_MOD_REVISION, key=self._key(s.key), mod_revision=s.base)
                for s in swaps
                if s.base is not None
            ]
            + [
                pb.Compare(target=_MOD_REVISION, key=self._key(key), mod_revision=base)
                for key, base in also.items()
            ],
            success=[self._operation(swap) for swap in swaps],
            failure=[
                pb.RequestOp(request_range=pb.RangeRequest(key=self._key(s.key))) for s in swaps
            ],
        )
        answer = self.call("Txn", request, SECONDS * 2)
        current: dict[str, Held] = {}
        if not answer.succeeded:
            for response in answer.responses:
                current |= {kv.key: kv for kv in map(self._held, response.response_range.kvs)}
        return Swapped(bool(answer.succeeded), int(answer.header.revision), current)

    def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Write a key, whatever its revision is; return the new revision."""
        return self.swap([Swap(key, value, None, lease)]).revision

    def remove_below(self, prefix: str) -> None:
        """Delete all keys below a prefix."""
        first, end = span(self.prefix + prefix)
        request = pb.DeleteRangeRequest(key=first, range_end=end)
        deletion = pb.RequestOp(request_delete_range=request)
        self.call("Txn", pb.TxnRequest(success=[deletion]), SECONDS * 2)

    def grant(self, seconds: float) -> int:
        """A lease of so many seconds, rounded up: keys with it vanish when it ends."""
        answer = self.call("LeaseGrant", pb.LeaseGrantRequest(TTL=max(1, -int(-seconds // 1))))
        return int(answer.ID)

    def revoke(self, lease: int) -> None:
        """End a lease, and delete its keys."""
        self.call("LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))

    def keep_alive(self, lease: int) -> int:
        """Renew a lease; the seconds for which it goes on, 0 if it has ended."""
        channel, turn = self.connection.channel()
        stream = channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=pb.LeaseKeepAliveResponse.FromString,
        )
        with self.connection.failing(turn):
            requests = iter([pb.LeaseKeepAliveRequest(ID=lease)])
            seconds = SECONDS + self.patience
            for answer in stream(requests, timeout=seconds, metadata=HAS_LEADER):
                return max(0, int(answer.TTL))
        return 0

    def watch(self, prefix: str, after: int) -> "Watch":
        """A watch of the changes below a prefix after a revision; EngineError if there is none."""
        channel, turn = self.connection.channel()
        first, end = span(self.prefix + prefix)
        create = pb.WatchCreateRequest(
            key=first,
            range_end=end,
            start_revision=after + 1,
            progress_notify=True,
            fragment=True,
        )
        stream = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        ended = threading.Event()

        def requests() -> Iterator[Any]:
            yield pb.WatchRequest(create_request=create)
            ended.wait()

        with self.connection.failing(turn):
            return Watch(self, turn, ended, stream(requests(), metadata=HAS_LEADER))

    def _key(self, key: str) -> bytes:
        return (self.prefix + key).encode()

    def _operation(self, swap: Swap) -> Any:
        key = self._key(swap.key)
        if swap.value is None:
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
        return pb.RequestOp(request_put=pb.PutRequest(key=key, value=swap.value, lease=swap.lease))

    def _held(self, kv: Any) -> Held:
        key = kv.key.decode(errors="replace").removeprefix(self.prefix)
        return Held(key, kv.value, int(kv.mod_revision), int(kv.create_revision), int(kv.lease))

    def _changed(self, event: Any) -> Held:
        kv = self._held(event.kv)
        return kv._replace(value=None) if event.type == _DELETED else kv
