# SPDX-License-Identifier: GPL-2.0-or-later
"""What gobgpd reports, as the bridge hears it: sessions, reasons, and what routes ask for."""

import json
import struct
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Packed

from xdpctl.detectors.formats import exabgp
from xdpctl.upstream.bgp.gobgp import api_pb2
from xdpctl.upstream.bgp.gobgp.hearing import Heard, reason
from xdpctl.upstream.bgp.messages import Gone
from xdpctl.upstream.bgp.sessions import Sessions

api: Any = api_pb2
PEER = "192.0.2.1"
ACTIVE, OPEN_SENT, OPEN_CONFIRM, ESTABLISHED = 3, 4, 5, 6


def packed(message: Any) -> Packed:
    made = Packed()
    made.Pack(message)
    return made


def state(session: int, admin: int = 0) -> Any:
    return api.PeerState(session_state=session, admin_state=admin)


def capabilities() -> list[Packed]:
    families = [(1, 1), (1, 133), (25, 70)]
    return [
        packed(api.MultiProtocolCapability(family=api.Family(afi=afi, safi=safi)))
        for afi, safi in families
    ] + [packed(api.OriginAttribute())]


class Listening:
    """What a bridge knows after it was told what a daemon reports."""

    def __init__(self) -> None:
        self.heard, self.sessions = Heard(PEER), Sessions({PEER: 10})

    def told(self, messages: list[dict[str, Any]]) -> list[Any]:
        found = [self.sessions.hear(json.dumps(each).encode()) for each in messages]
        return [each for several in found for each in several or []]

    @property
    def session(self) -> Any:
        return self.sessions.sessions()[0]


def test_a_session_comes_and_goes() -> None:
    here = Listening()
    here.told(here.heard.session(state(ACTIVE), capabilities))
    assert "check its address" in here.session.why
    here.told(here.heard.session(state(ESTABLISHED), capabilities))
    assert here.session.up
    assert here.session.families == ("ipv4 flow", "ipv4 unicast")
    record = {"msg": "Peer Down", "Reason": "notification-received code 6(cease) subcode 2(x)"}
    assert here.told(here.heard.reason(reason(record))) == [], "it is up until the state says so"
    assert here.told(here.heard.session(state(1), capabilities)) == [Gone(PEER)]
    assert "it was shut down there" in here.session.why


def test_a_reason_that_comes_later_is_not_lost() -> None:
    here = Listening()
    here.told(here.heard.session(state(ESTABLISHED), capabilities))
    here.told(here.heard.session(state(1), capabilities))
    record = {"msg": "Peer Down", "Reason": "hold-timer-expired"}
    here.told(here.heard.reason(reason(record)))
    assert "nothing was heard for the hold time" in here.session.why


@pytest.mark.parametrize("last", [OPEN_SENT, OPEN_CONFIRM])
def test_a_peer_that_ends_the_connection_at_once_is_not_one_that_is_not_there(last: int) -> None:
    here = Listening()
    for each in (ACTIVE, OPEN_SENT, last, 1):
        here.told(here.heard.session(state(each), capabilities))
    assert "closes the connection" in here.session.why


def test_the_end_of_gobgp_is_the_end_of_the_session() -> None:
    here = Listening()
    here.told(here.heard.ended())
    assert "GoBGP ended" in here.session.why, "also if there never was one"
    here.told(here.heard.session(state(ESTABLISHED), capabilities))
    assert here.told(here.heard.ended()) == [Gone(PEER)]
    assert "GoBGP ended" in here.session.why


def test_another_as_is_named_before_there_ever_was_a_session() -> None:
    here = Listening()
    data = "as number mismatch expected 64499, received 64496"
    here.told(here.heard.reason(reason({"msg": "sent notification", "Data": data})))
    assert data in here.session.why
    assert "check peer_as" in here.session.why


def test_too_many_routes_are_the_reason() -> None:
    here = Listening()
    here.told(here.heard.session(state(ESTABLISHED), capabilities))
    here.told(here.heard.session(state(1, admin=2), capabilities))
    assert "more routes than GoBGP may keep" in here.session.why


@pytest.mark.parametrize("record", [{}, {"msg": "Peer Up"}, {"msg": 5}, {"msg": "Peer Down"}])
def test_other_records_say_nothing_of_a_session(record: dict[str, Any]) -> None:
    assert reason(record) == ""


def asked(*communities: Any) -> str:
    rules = [packed(api.FlowSpecIPPrefix(type=1, prefix_len=32, prefix="198.51.100.7"))]
    attribute = api.ExtendedCommunitiesAttribute(communities=map(packed, communities))
    path = api.Path(
        nlri=packed(api.FlowSpecNLRI(rules=rules)),
        family=api.Family(afi=1, safi=133),
        pattrs=[packed(attribute)],
    )
    (message,) = Heard(PEER).paths([path])
    (event,) = exabgp.read(json.dumps(message).encode())
    return event.ignored or str(event.limit or "drop")


class _Other:
    """A community whose message this project has not."""

    def __init__(self, name: str) -> None:
        self.DESCRIPTOR = type("_", (), {"full_name": f"apipb.{name}"})
        self.name = name

    def SerializeToString(self, deterministic: bool | None = None) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("community", "said"),
    [
        (api.TrafficRateExtended(rate=0), "drop"),
        (api.TrafficRateExtended(rate=0.4), "1,000 bps"),
        (api.TrafficRateExtended(rate=float("inf")), "does not reduce"),
        (api.TrafficRateExtended(rate=float("nan")), "does not reduce"),
        (api.TrafficRateExtended(rate=-1), "drop"),  # RFC 8955 section 7.1
        (api.UnknownExtended(type=0x80, value=struct.pack("!BHf", 0x0C, 0, 500)), "500 pps"),
        (api.UnknownExtended(type=0x80, value=b"\x0c"), "does not reduce"),
        (_Other("RedirectTwoOctetAsSpecificExtended"), "asks for redirect"),
        (_Other("TrafficRemarkExtended"), "asks for mark"),
        (_Other("TrafficActionExtended"), "does not reduce"),
    ],
)
def test_what_a_route_asks_for(community: Any, said: str) -> None:
    assert said in asked(community)


def test_other_families_and_components_are_no_rules() -> None:
    unicast = api.Path(family=api.Family(afi=1, safi=1))
    assert list(Heard(PEER).paths([unicast])) == []
    for nlri in (
        packed(api.IPAddressPrefix(prefix_len=32, prefix="198.51.100.7")),
        packed(api.FlowSpecNLRI(rules=[packed(api.FlowSpecComponent(type=77))])),
        packed(api.FlowSpecNLRI(rules=[packed(api.OriginAttribute())])),
        packed(api.FlowSpecNLRI(rules=[packed(_tests(3, (0, 1)))])),
        packed(api.FlowSpecNLRI(rules=[packed(_tests(9, (0, 0)))])),
        packed(api.FlowSpecNLRI(rules=[packed(_tests(9, (1, 0x10002)))])),
    ):
        given = api.Path(family=api.Family(afi=1, safi=133), nlri=nlri)
        (message,) = Heard(PEER).paths([given])
        (event,) = exabgp.read(json.dumps(message).encode())
        assert event.ignored


def _tests(number: int, *items: tuple[int, int]) -> Any:
    listed = [api.FlowSpecComponentItem(op=op, value=value) for op, value in items]
    return api.FlowSpecComponent(type=number, items=listed)
