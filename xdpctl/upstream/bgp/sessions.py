# SPDX-License-Identifier: GPL-2.0-or-later
"""The sessions of the speaker, and the routes that came through them, from ExaBGP's JSON.

A peer that restarts gracefully (RFC 4724) loses its connection without a notification. Its routes
stay, for the time that it has announced, until it has sent those that it still has.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from xdpctl.upstream.bgp import reasons
from xdpctl.upstream.bgp.messages import Gone, Received, Session

_decoder = msgspec.json.Decoder(dict[str, Any])
_FLOW = ("ipv4 flow", "ipv6 flow")
_NEXT_HOP, _ROUTE_MAX = "next-hop", 8_000  # bytes of a message about one route
_SENT = "notification sent"  # in the reason of a session that this side has ended
_GRACEFUL = "64"  # the capability's code
_RESTART_MAX, _ANEW_SECONDS = 120.0, 60.0  # until it is back, and until it has sent its routes


@dataclass(slots=True)
class _Heard:
    """One peer: its session, and the last message about each of its routes.

    `restarts` has the families of which it keeps routes while it restarts, for `patience` seconds.
    `stale` has the keys of routes that it has not sent again since; they stay until `until`.
    """

    most: int
    up: bool = False
    families: tuple[str, ...] = ()
    why: str = reasons.NOT_YET
    noted: str = ""  # what a notification said since the connection was made
    beyond: int = 0
    routes: dict[str, bytes] = field(default_factory=dict)
    restarts: frozenset[str] = frozenset()
    patience: float = 0.0
    stale: set[str] = field(default_factory=set)
    until: float = 0.0


class Sessions:
    """Reads the lines of ExaBGP; `most` has the number of routes to keep, by a peer's address."""

    def __init__(self, most: dict[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._heard = {peer: _Heard(limit) for peer, limit in most.items()}
        self._clock = clock

    def sessions(self) -> list[Session]:
        """The session with each peer."""
        return [
            Session(peer, heard.up, heard.families, heard.why, len(heard.routes), heard.beyond)
            for peer, heard in self._heard.items()
        ]

    def received(self) -> Iterator[Received]:
        """The last message about each current route."""
        for peer, heard in self._heard.items():
            for message in heard.routes.values():
                yield Received(peer, msgspec.Raw(message))

    def hear(self, line: bytes) -> list[Received | Gone] | None:
        """Take a line into account; return the messages for the control plane.

        None if a session changed, but did not end. ValueError if the line is no message.
        """
        data = _decoder.decode(line)
        neighbor = _table(data.get("neighbor"))
        peer = str(_table(neighbor.get("address")).get("peer", ""))
        heard = self._heard.get(peer)
        if heard is None:
            return []
        match data.get("type"):
            case "state":
                return self._state(peer, heard, str(neighbor.get("state")), neighbor)
            case "open":
                heard.restarts, heard.patience = _graceful(neighbor)
                return []
            case "negotiated":
                heard.families = _families(neighbor)
                return None
            case "notification":
                heard.noted = _notification(neighbor)
                return None
            case "fsm" if neighbor.get("state") == "ACTIVE" and heard.why == reasons.NOT_YET:
                heard.why = reasons.NO_CONNECTION
                return None
            case "update":
                return self._update(peer, heard, neighbor, data)
        return []

    def _state(
        self, peer: str, heard: _Heard, state: str, neighbor: dict[str, Any]
    ) -> list[Received | Gone] | None:
        """Take a change of a session into account."""
        if state == "connected":
            heard.noted = ""
        elif state == "up":
            heard.up, heard.why = True, ""
            heard.until = self._clock() + _ANEW_SECONDS
            lost = [key for key in heard.stale if _family(key) not in heard.restarts]
            return [*_withdrawn(peer, heard, lost)] or None
        elif state == "down":
            was_up, heard.up, heard.beyond = heard.up, False, 0
            reason = str(neighbor.get("reason", ""))
            heard.why = heard.noted or reasons.of_text(reason)
            if heard.noted or _SENT in reason or not (heard.stale or (was_up and heard.restarts)):
                return _gone(peer, heard)
            if was_up:
                # what is stale twice is gone (RFC 4724, section 4.2)
                fresh = {k for k in heard.routes if _family(k) in heard.restarts} - heard.stale
                lost = [key for key in heard.routes if key not in fresh]
                heard.stale = fresh
                heard.until = self._clock() + heard.patience
                return [*_withdrawn(peer, heard, lost)] or None
        return None

    def over(self) -> list[Received | Gone]:
        """Messages about routes whose peer has not come back, or has not sent them again."""
        messages: list[Received | Gone] = []
        for peer, heard in self._heard.items():
            if heard.stale and self._clock() > heard.until:
                messages += _withdrawn(peer, heard, set(heard.stale)) if heard.up else []
                messages += [] if heard.up else _gone(peer, heard)
        return messages

    def _update(
        self, peer: str, heard: _Heard, neighbor: dict[str, Any], data: dict[str, Any]
    ) -> list[Received | Gone]:
        """Split an update into a message for each route, so that each is kept or dropped alone."""
        update = _table(_table(neighbor.get("message")).get("update"))
        messages: list[Received | Gone] = []
        if not heard.most:
            return messages
        if ended := _table(_table(neighbor.get("message")).get("eor")):
            family = f"{ended.get('afi')} {ended.get('safi')}"
            return [*_withdrawn(peer, heard, [k for k in heard.stale if _family(k) == family])]
        for part in ("withdraw", "announce"):
            for family in _FLOW:
                for route in _routes(_table(update.get(part)).get(family)):
                    message = _one(peer, update, part, family, route)
                    key = _key(family, route)
                    heard.stale.discard(key)
                    full = key not in heard.routes and len(heard.routes) >= heard.most
                    if part == "announce" and full and heard.stale:
                        messages += _withdrawn(peer, heard, [next(iter(heard.stale))])
                        full = False
                    if part == "withdraw":
                        heard.routes.pop(key, None)
                    elif full or len(message) > _ROUTE_MAX:
                        heard.beyond += 1
                        continue
                    else:
                        heard.routes[key] = message
                    messages.append(Received(peer, msgspec.Raw(message)))
        return messages


def _gone(peer: str, heard: _Heard) -> list[Received | Gone]:
    """Forget the routes of a peer."""
    heard.routes.clear()
    heard.stale.clear()
    return [Gone(peer)]


def _withdrawn(peer: str, heard: _Heard, keys: Collection[str]) -> Iterator[Received]:
    """Forget these routes, each with the message that its peer would have sent."""
    for key in keys:
        heard.stale.discard(key)
        message = heard.routes.pop(key, None)
        if message is not None:
            update = _table(_table(_decoder.decode(message)["neighbor"])["message"])["update"]
            (route,) = update["announce"][_family(key)]
            yield Received(peer, msgspec.Raw(_one(peer, update, "withdraw", _family(key), route)))


def _graceful(neighbor: dict[str, Any]) -> tuple[frozenset[str], float]:
    """The families of which a peer keeps routes while it restarts, and the seconds."""
    capabilities = _table(_table(neighbor.get("open")).get("capabilities"))
    capability = _table(capabilities.get(_GRACEFUL))
    seconds = capability.get("time", 0)
    families = _table(capability.get("address-family-flags"))
    kept = frozenset(family for family in _FLOW if family.replace(" ", "/") in families)
    return kept, min(float(seconds), _RESTART_MAX) if isinstance(seconds, int) else 0.0


def _family(key: str) -> str:
    """The family of the route with a key."""
    return " ".join(key.split(" ", 2)[:2])


def _one(peer: str, update: dict[str, Any], part: str, family: str, route: Any) -> bytes:
    """A message about one route, with the only attributes that set an action."""
    communities = _table(update.get("attribute")).get("extended-community", [])
    route = {name: value for name, value in route.items() if name != _NEXT_HOP}
    message = {"attribute": {"extended-community": communities}, part: {family: [route]}}
    neighbor = {"address": {"peer": peer}, "message": {"update": message}}
    return msgspec.json.encode({"type": "update", "neighbor": neighbor})


def _key(family: str, route: dict[str, Any]) -> str:
    """What identifies a route: its components alone. The next hop is ignored (RFC 8955)."""
    parts = sorted((k, v) for k, v in route.items() if k not in ("string", _NEXT_HOP))
    return f"{family} {msgspec.json.encode(parts).decode()}"


def _routes(value: Any) -> list[dict[str, Any]]:
    """The routes of a family: a list; in announcements, lists by next hop."""
    lists = value.values() if isinstance(value, dict) else [value]
    routes = [route for part in lists if isinstance(part, list) for route in part]
    return [route for route in routes if isinstance(route, dict)]


def _families(neighbor: dict[str, Any]) -> tuple[str, ...]:
    families = _table(neighbor.get("negotiated")).get("families", [])
    return tuple(str(family) for family in families) if isinstance(families, list) else ()


def _notification(neighbor: dict[str, Any]) -> str:
    message = _table(neighbor.get("notification"))
    return reasons.of_notification(
        message.get("code"), message.get("subcode"), message.get("message")
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
