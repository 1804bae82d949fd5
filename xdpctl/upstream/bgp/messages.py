# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control plane and the bridge write to each other: lines of JSON at a Unix socket."""

from typing import Any

import msgspec

from xdpctl.model.route import Route

LINE_MAX = 1 << 20  # bytes


class PeerRoute(msgspec.Struct, frozen=True):
    """A route for a peer, which is named by its address."""

    peer: str
    route: Route


class Wanted(msgspec.Struct, frozen=True):
    """A route that is to be announced for so many more seconds."""

    route: PeerRoute
    seconds: float


class Order(msgspec.Struct, frozen=True):
    """All that is to be announced from now on; what is not in it is withdrawn."""

    wanted: list[Wanted]


class Session(msgspec.Struct, frozen=True):
    """The session with a peer: the `families` that both sides agreed on, and `why` it is down.

    `kept` is the number of received routes that are kept, `beyond` of those that are not.
    """

    peer: str
    up: bool
    families: tuple[str, ...] = ()
    why: str = ""
    kept: int = 0
    beyond: int = 0


class Told(msgspec.Struct, frozen=True):
    """A route that the speaker was ordered to announce; `problem` says why it does not."""

    route: PeerRoute
    problem: str = ""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """The bridge's state, each second and whenever it changes."""

    sessions: list[Session]
    told: list[Told]
    problem: str = ""


class Received(msgspec.Struct, frozen=True, tag="received"):
    """A message of the speaker about a peer's routes, in ExaBGP's JSON."""

    peer: str
    message: msgspec.Raw


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """The session with a peer has ended, and with it all that was received."""

    peer: str


class Anew(msgspec.Struct, frozen=True, tag="anew"):
    """All current routes follow, and then `Whole`: any other route is gone."""


class Whole(msgspec.Struct, frozen=True, tag="whole"):
    """All current routes have been sent."""


FromBridge = Report | Received | Gone | Anew | Whole
_encoder = msgspec.json.Encoder()
_orders = msgspec.json.Decoder(Order)
_from_bridge: msgspec.json.Decoder[FromBridge] = msgspec.json.Decoder(FromBridge)


def line(message: Any) -> bytes:
    """A message as a line."""
    return _encoder.encode(message) + b"\n"


def order(data: bytes) -> Order:
    """The order in some bytes; ValueError if they are no order."""
    return _orders.decode(data)


def from_bridge(data: bytes) -> FromBridge:
    """The bridge's message in some bytes; ValueError if they are no message."""
    return _from_bridge.decode(data)
