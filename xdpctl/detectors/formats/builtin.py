# SPDX-License-Identifier: GPL-2.0-or-later
"""The embedded detector's format: a list of events, each with its finding.

{"phase": "began", "id": "192.0.2.1/32 udp 1764230400.1", "victim": "192.0.2.1", "kind": "udp",
 "match": "dst 192.0.2.1 proto udp length 540", "action": "drop", "ttl": 300, "rate": 25000,
 "finding": {"kind": "udp", "rate": 25000, "threshold": 5000}}
"""

from typing import Any

import msgspec

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action
from xdpctl.model.event import Attack, Event, Phase, plain
from xdpctl.model.finding import Finding
from xdpctl.model.match import text
from xdpctl.model.rate import Rate

_EVENTS_MAX = 256
ATTACKS = {
    Traffic.SYN: Attack.SYN_FLOOD,
    Traffic.SYN_ACK: Attack.SYN_ACK_FLOOD,
    Traffic.RST: Attack.RST_FLOOD,
    Traffic.TCP: Attack.TCP_FLOOD,
    Traffic.UDP_SERVICE: Attack.AMPLIFICATION,
    Traffic.UDP: Attack.UDP_FLOOD,
    Traffic.ICMP: Attack.ICMP_FLOOD,
    Traffic.FRAGMENT: Attack.IP_FRAGMENTATION,
    Traffic.QUIC_INITIAL: Attack.QUIC_FLOOD,
    Traffic.DNS_QUERY: Attack.DNS_QUERY_FLOOD,
}
_ACTIONS = (Action.DROP, Action.LIMIT, Action.CHALLENGE)


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event as it is posted; `rate` is in packets a second, `ttl` in seconds.

    `known` says that the event is about known flows.
    """

    phase: Phase
    id: str
    victim: str
    kind: str
    match: str
    action: Action
    limit: Rate | None = None
    watch: bool = False
    known: bool = False
    ttl: float = 0.0
    rate: float = 0.0
    note: str = ""
    finding: Finding | None = None


_decoder = msgspec.json.Decoder(list[Told])
encode = msgspec.json.Encoder().encode


def read(body: bytes) -> list[Event]:
    """An event for each item; RuleError if one of them cannot be read."""
    try:
        items = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fix = "send what xdpctl's own detector sends; others post to the hook event"
        raise RuleError(f"the body cannot be read: {plain(error)}", "", fix) from None
    if len(items) > _EVENTS_MAX:
        raise RuleError(f"{len(items)} events", "", f"send at most {_EVENTS_MAX} at once")
    return [_event(item) for item in items]


def _event(posted: Told) -> Event:
    kind = _kind(posted.kind)
    if posted.action not in _ACTIONS or (posted.limit is None) == (posted.action is Action.LIMIT):
        fix = f"send one of {', '.join(_ACTIONS)}, and a limit only with the action limit"
        raise RuleError("action and limit do not go together", "action", fix)
    if posted.finding is not None:
        posted.finding.check()
        if posted.finding.kind != posted.kind:
            fix = "send a finding about the packets of the event"
            raise RuleError("the finding is of another kind", "finding.kind", fix)
    data: dict[str, Any] = {"id": posted.id, "ttl": posted.ttl, "rate": posted.rate}
    return Event(
        phase=posted.phase,
        id=checked.text(data, "id"),
        victim=parse_prefix(posted.victim, "victim"),
        match=text.parse(posted.match),
        limit=posted.limit,
        action=posted.action,
        watch=posted.watch,
        known=posted.known,
        finding=posted.finding,
        attack=ATTACKS.get(kind, Attack.UNKNOWN),
        ttl=checked.number(data, "ttl") or None,
        pps=checked.number(data, "rate"),
        note=plain(posted.note),
    )


def _kind(name: str) -> Traffic:
    try:
        return Traffic[name.upper()]
    except KeyError:
        fix = f"send one of {', '.join(known.setting for known in Traffic)}"
        raise RuleError(f"kind is {plain(name)[:40]!r}", "kind", fix) from None
