# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to one member of the engine at a time, and what its errors mean."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from xdpctl.errors import CompactedError, EngineError, EngineFullError, EngineRefusedError
from xdpctl.fleet.settings import SERVER_NAME

# With it, a member that is cut off from the others refuses requests, and ends watches.
HAS_LEADER = (("hasleader", "true"),)
_BUSY_SECONDS = 1.0  # a member that has answered anything within this time is busy, not dead
_FIRST_MOST, _PATIENCE_MOST = 3.0, 2.0  # seconds
_DOUBLINGS_MOST = 32  # a power of the failures of a long outage would be too large for a float
_MESSAGE_MAX = 64 << 20  # bytes of an answer
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_MAX),
    ("grpc.keepalive_time_ms", 6_000),  # etcd refuses less than 5 s
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_OURS = (  # caused by this node: every member would answer so
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.CANCELLED,
)
Credentials = Callable[[], Any]  # grpc.ChannelCredentials; None for a channel without TLS


class TooLargeError(EngineError):
    """An answer is larger than this node reads at once."""


class Connection:
    """Channels to members at `endpoints` (`HOST:PORT`), one after the other.

    `turn` is a number that grows with each new channel. `check` is called with each new one, and
    raises EngineError for a member that must not be used. `server` is the name in the certificates
    of the members. `patience` is how many seconds longer than nearby an answer takes here, from the
    time of the check. Usable from any thread.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials,
        check: Callable[[Any], None] = lambda channel: None,
        server: str = SERVER_NAME,
    ) -> None:
        # members are reached by their addresses
        self._options = (*_OPTIONS, ("grpc.ssl_target_name_override", server))
        self.server = server
        self.endpoints, self.credentials, self._check = tuple(endpoints), credentials, check
        self.patience, self._failed = 0.0, 0
        self._lock = threading.RLock()
        self.turn, self._closed, self._heard_at = 0, False, 0.0
        self._channel: Any = None

    @property
    def endpoint(self) -> str:
        """The member that is used now."""
        return self.endpoints[self.turn % len(self.endpoints)]

    def heard(self) -> None:
        """Note that the member has answered, so a late answer is no reason to leave it."""
        self._heard_at = time.monotonic()

    def close(self) -> None:
        """End all running calls."""
        with self._lock:
            self._closed = True
            self._drop()

    def turn_away(self, turn: int) -> None:
        """Use the next member, unless another thread did so since `turn`; running calls end."""
        with self._lock:
            if turn == self.turn:
                self.turn += 1
                self._drop()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def channel(self) -> tuple[Any, int]:
        """The channel, and the turn that it belongs to. EngineError if it cannot be made."""
        with self._lock:
            if self._closed:
                raise EngineError("the connection to the fleet's engine is closed")
            if self._channel is None:
                self._channel = self._checked(self._made())
            return self._channel, self.turn

    def first_seconds(self, seconds: float) -> float:
        """The time for a first answer: more once all members failed, as they may be far away."""
        doublings = min(self._failed // len(self.endpoints), _DOUBLINGS_MOST)
        return min(seconds * 2.0**doublings, _FIRST_MOST)

    def _checked(self, channel: Any) -> Any:
        """A new channel, once its member has passed the check."""
        began = time.monotonic()
        try:
            with self.failing(self.turn):
                self._check(channel)
        except BaseException:
            self._failed += 1
            channel.close()
            raise
        self._failed, self.patience = 0, min(time.monotonic() - began, _PATIENCE_MOST)
        return channel

    def _made(self) -> Any:
        try:
            credentials = self.credentials()
        except OSError as error:
            raise EngineError(f"this node's certificate cannot be read: {error}") from error
        if credentials is None:
            return grpc.insecure_channel(self.endpoint, options=self._options)
        return grpc.secure_channel(self.endpoint, credentials, options=self._options)

    @contextmanager
    def failing(self, turn: int) -> Iterator[None]:
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
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
            return TooLargeError(f"an answer of the fleet's engine is too large: {text}")
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "space" in text:
            return EngineFullError(
                "the fleet's engine is full (etcd's quota). What is stated stays on this node "
                "until there is room: see `xdpctl fleet status`"
            )
        if code is grpc.StatusCode.PERMISSION_DENIED:
            return EngineRefusedError(f"the fleet's engine refuses this node: {text}")
        endpoint = self.endpoint
        late = code is grpc.StatusCode.DEADLINE_EXCEEDED
        # a new connection would add to the load of an overloaded member
        busy = late and time.monotonic() - self._heard_at < _BUSY_SECONDS
        if code not in _OURS and not busy:
            self.turn_away(turn)
        return EngineError(f"the fleet's engine at {endpoint}: {code.name.lower()}: {text}")
