# SPDX-License-Identifier: GPL-2.0-or-later
"""The API of a gobgpd at a Unix socket (gRPC). Usable from any thread."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from xdpctl.errors import RuleError
from xdpctl.upstream.bgp.gobgp import api_pb2
from xdpctl.upstream.bgp.gobgp.routes import FLOWSPEC, UNICAST

api: Any = api_pb2  # generated, without types

_SERVICE = "/apipb.GobgpApi/"
_START_SECONDS, _LOOK_SECONDS, _ANSWER_SECONDS = 8.0, 0.5, 5.0
_BATCH = 200  # routes in a message
_ADJ_IN, _GLOBAL = 1, 0  # a filter of events, and a table
_LOCAL = ("", "<nil>")  # the neighbour of a path that was given to the API
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),  # its socket is not there at once
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


class NoAnswerError(Exception):
    """The daemon has ended, or hangs."""


class Client:
    """What is asked of a daemon. RuleError if it refuses something, NoAnswerError if it is silent.

    `close` it in the end.
    """

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=_OPTIONS)

    def close(self) -> None:
        """End everything that is asked."""
        self._channel.close()

    def wait_until_ready(self, alive: Callable[[], bool]) -> None:
        """Wait for as long as the daemon is alive, and not for ever."""
        ready, until = grpc.channel_ready_future(self._channel), time.monotonic() + _START_SECONDS
        while alive() and time.monotonic() < until:
            with suppress(grpc.FutureTimeoutError):
                ready.result(_LOOK_SECONDS)
                return
        ready.cancel()
        raise NoAnswerError("it did not start")

    def announce(self, path: Any) -> None:
        """Announce a path."""
        self._ask("AddPath", api.AddPathRequest(path=path), api.AddPathResponse)

    def withdraw(self, path: Any) -> None:
        """Withdraw a path."""
        self._ask("DeletePath", api.DeletePathRequest(family=path.family, path=path), api.Empty)

    def clear(self) -> None:
        """Withdraw all."""
        self._ask("DeletePath", api.DeletePathRequest(), api.Empty)

    def announced(self) -> int:
        """How many routes are announced."""
        found = 0
        for afi in (1, 2):
            for safi in (UNICAST, FLOWSPEC):
                family = api.Family(afi=afi, safi=safi)
                request = api.ListPathRequest(table_type=_GLOBAL, family=family)
                for each in self._list("ListPath", request, api.ListPathResponse):
                    found += sum(path.neighbor_ip in _LOCAL for path in each.destination.paths)
        return found

    def capabilities(self, peer: str) -> list[Any]:
        """What a peer said that it can do."""
        listed = self._list("ListPeer", api.ListPeerRequest(address=peer), api.ListPeerResponse)
        return [each for found in listed for each in found.peer.state.remote_cap]

    def enable(self, peer: str) -> None:
        """Let a peer connect again that sent too many routes."""
        self._ask("EnablePeer", api.EnablePeerRequest(address=peer), api.Empty)

    def events(self) -> Iterator[Any]:
        """Changes of the session, and of what the peer announces, for as long as it runs."""
        filters = [api.WatchEventRequest.Table.Filter(type=_ADJ_IN, init=True)]
        request = api.WatchEventRequest(
            peer=api.WatchEventRequest.Peers(),
            table=api.WatchEventRequest.Table(filters=filters),
            batch_size=_BATCH,
        )
        with _explained():
            yield from self._stream("WatchEvent", api.WatchEventResponse)(request)

    def _ask(self, name: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            _SERVICE + name, type(request).SerializeToString, answer.FromString
        )
        with _explained():
            return call(request, timeout=_ANSWER_SECONDS)

    def _list(self, name: str, request: Any, answer: Any) -> list[Any]:
        with _explained():
            return list(self._stream(name, answer)(request, timeout=_ANSWER_SECONDS))

    def _stream(self, name: str, answer: Any) -> Any:
        return self._channel.unary_stream(
            _SERVICE + name, lambda request: request.SerializeToString(), answer.FromString
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Raise our own errors for what gRPC raises."""
    try:
        yield
    except ValueError as error:  # the channel was closed by another thread
        raise NoAnswerError("it has ended") from error
    except grpc.RpcError as error:
        failed: Any = error
        if failed.code() in (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        ):
            raise NoAnswerError("it does not answer") from error
        raise RuleError(f"GoBGP refused it: {failed.details()}", "route", "") from error
