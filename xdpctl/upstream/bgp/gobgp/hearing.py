# SPDX-License-Identifier: GPL-2.0-or-later
"""What gobgpd reports of a peer, as the messages that ExaBGP would write. Pure."""

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from xdpctl.upstream.bgp.gobgp import api_pb2
from xdpctl.upstream.bgp.gobgp.routes import AFI, AND, BITS, FLOWSPEC, MATCH, NOT, TESTS, TYPES

api: Any = api_pb2  # generated, without types

_ACTIVE, _OPEN_SENT, _OPEN_CONFIRM, _ESTABLISHED = 3, 4, 5, 6  # states of a session
_OVER_LIMIT = 2  # a state of its administration
_CLOSED = "closing connection"
_DOWN = {"hold-timer-expired": "(4,0)", "read-failed": _CLOSED, "write-failed": _CLOSED}
_TOO_MANY = "it sent more routes than GoBGP may keep; it may connect again in a minute"
_CODE = re.compile(r"code (\d+)\D.*subcode (\d+)")
_OTHER_AS = "as number mismatch"
_FAMILIES = {
    (afi, safi): f"ipv{number} {name}"
    for number, afi in AFI.items()
    for safi, name in ((1, "unicast"), (FLOWSPEC, "flow"))
}
_BY_TYPE = {number: name for name, number in reversed(TYPES.items())}
_SIX = {3: "next-header", 11: "traffic-class"}
_TESTS = {bits: text for text, bits in TESTS.items()} | {0: "false", 7: "true"}
_TEST, _VALUE_BITS = 7, 64
_TRAFFIC_RATE_PACKETS = struct.Struct("!BHf")  # RFC 8955 section 7.2: 0x0c, an AS, packets/s
_PACKETS_TYPE, _PACKETS_SUBTYPE = 0x80, 0x0C


class Heard:
    """One peer. Each method returns messages, as `Sessions` reads them."""

    def __init__(self, host: str) -> None:
        self._host, self._up, self._why = host, False, ""
        self._state = 0

    def reason(self, text: str) -> list[dict[str, Any]]:
        """Why a session ended, or was never there."""
        self._why = text
        return [] if self._up else [self._down()]

    def session(
        self, state: Any, capabilities: Callable[[], Iterable[Any]]
    ) -> list[dict[str, Any]]:
        """A session has another state. What the peer can do is asked for when it is up."""
        before, self._state = self._state, state.session_state
        if over_limit(state):
            self._why = _TOO_MANY
        if state.session_state == _OPEN_SENT:
            self._why = ""
        elif before in (_OPEN_SENT, _OPEN_CONFIRM) and state.session_state <= _ACTIVE:
            return [] if self._why else self.reason(_CLOSED)  # GoBGP does not say why
        if state.session_state == _ESTABLISHED:
            self._up, self._why = True, ""
            negotiated = {"families": sorted(_families(capabilities()))}
            told = self._message("negotiated", negotiated=negotiated)
            return [told, self._message("state", state="up")]
        if self._up:
            self._up = False
            return [self._down()]
        return [self._message("fsm", state="ACTIVE")] if state.session_state == _ACTIVE else []

    def ended(self) -> list[dict[str, Any]]:
        """GoBGP has ended, and with it the session."""
        self._up, self._state = False, 0
        self._why = "GoBGP ended, and is started again"
        return [self._down()]

    def _down(self) -> dict[str, Any]:
        return self._message("state", state="down", reason=self._why)

    def paths(self, paths: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """Routes were announced or withdrawn."""
        for path in paths:
            family = _FAMILIES.get((path.family.afi, path.family.safi), "")
            if not family.endswith("flow"):
                continue
            asked = list(_communities(path.pattrs))
            part = "withdraw" if path.is_withdraw else "announce"
            route = _route(path.nlri, six=family.startswith("ipv6"))
            update = {"attribute": {"extended-community": asked}, part: {family: [route]}}
            yield self._message("update", message={"update": update})

    def _message(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "neighbor": {"address": {"peer": self._host}, **more}}


def over_limit(state: Any) -> bool:
    """Whether gobgpd keeps a peer away that sent more routes than it may."""
    return bool(state.admin_state == _OVER_LIMIT)


def reason(record: dict[str, Any]) -> str:
    """Why there is no session, from a record of gobgpd's log, with the codes as ExaBGP has them."""
    message, data = str(record.get("msg", "")), str(record.get("Data") or "")
    if message == "Peer Down":
        text = str(record.get("Reason", ""))
        found = _CODE.search(text)
        return f"({found[1]},{found[2]}) {text}" if found else _DOWN.get(text, text)
    if message not in ("sent notification", "received notification"):
        return ""
    code = (record.get("Code"), record.get("Subcode"))
    if _OTHER_AS in data:
        code = (2, 2)
    known = f"({code[0]},{code[1]})" if None not in code else ""
    return " ".join(part for part in (message, known, data) if part)


def _families(capabilities: Iterable[Any]) -> set[str]:
    """The families in what a peer can do."""
    found = set[str]()
    for each in capabilities:
        capability = api.MultiProtocolCapability()
        if each.Unpack(capability):
            family = (capability.family.afi, capability.family.safi)
            found |= {_FAMILIES[family]} if family in _FAMILIES else set()
    return found


def _communities(attributes: Iterable[Any]) -> Iterator[dict[str, str]]:
    """What is to be done with the packets; of what is not known, nothing."""
    for attribute in attributes:
        extended = api.ExtendedCommunitiesAttribute()
        if not attribute.TypeName().endswith("ExtendedCommunitiesAttribute"):
            continue
        extended.MergeFromString(attribute.value)  # IPv6's has the same shape
        for each in extended.communities:
            if text := _community(each):
                yield {"string": text}


def _community(each: Any) -> str:
    rate, unknown = api.TrafficRateExtended(), api.UnknownExtended()
    if each.Unpack(rate):
        return f"rate-limit:{_rate(rate.rate)}"
    if each.Unpack(unknown):
        value = unknown.value
        if unknown.type != _PACKETS_TYPE or len(value) != 7 or value[0] != _PACKETS_SUBTYPE:
            return ""
        return f"rate-limit:{_rate(_TRAFFIC_RATE_PACKETS.unpack(value)[2])}:packets"
    name = each.TypeName().rpartition(".")[2].lower()
    if name.startswith("redirect"):
        return "redirect"
    return "mark" if name == "trafficremarkextended" else ""


def _rate(rate: float) -> str:
    """A rate as a whole number, so that only 0 is one that lets nothing pass.

    A negative one counts as 0 (RFC 8955 section 7.1).
    """
    return "unlimited" if math.isnan(rate) or rate == math.inf else str(math.ceil(max(rate, 0)))


def _route(packed: Any, six: bool) -> dict[str, Any]:
    """The components of a route. One that has others has a component with their name."""
    nlri, found = api.FlowSpecNLRI(), dict[str, Any]()
    if not packed.Unpack(nlri):
        found["unknown"] = [packed.TypeName()]
    for rule in nlri.rules:
        prefix, component = api.FlowSpecIPPrefix(), api.FlowSpecComponent()
        if rule.Unpack(prefix):
            name = f"{_BY_TYPE.get(prefix.type, prefix.type)}-ipv{6 if six else 4}"
            offset = f"/{prefix.offset}" if six else ""
            found[name] = [f"{prefix.prefix}/{prefix.prefix_len}{offset}"]
        elif rule.Unpack(component):
            number = component.type
            known = _SIX.get(number) if six else None
            found[known or str(_BY_TYPE.get(number, number))] = _tests(number, component.items)
        else:
            found[rule.TypeName()] = []
    text = " ".join(f"{name} {' '.join(value)}" for name, value in found.items())
    return {**found, "string": f"flow {text}"}


def _tests(number: int, items: Iterable[Any]) -> list[str]:
    """The tests of a component: texts are or-ed, and what `&` joins is and-ed."""
    groups: list[str] = []
    for item in items:
        text = _bits(item) if number in BITS else f"{_TESTS[item.op & _TEST]}{item.value}"
        if item.op & AND and groups:
            groups[-1] += f"&{text}"
        else:
            groups.append(text)
    return groups


def _bits(item: Any) -> str:
    names = [str(1 << bit) for bit in range(_VALUE_BITS) if item.value >> bit & 1]
    before = ("!" if item.op & NOT else "") + ("=" if item.op & MATCH else "")
    return before + ("+".join(names) or "0")
