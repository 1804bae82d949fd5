# SPDX-License-Identifier: GPL-2.0-or-later
"""What ExaBGP says of sessions and routes, in messages as ExaBGP 5.0.15 wrote them."""

import json
from typing import Any

import pytest

from xdpctl.detectors.formats import exabgp
from xdpctl.upstream.bgp.messages import Gone, Received
from xdpctl.upstream.bgp.sessions import Sessions

HOST = "192.0.2.1"


def message(kind: str, **neighbor: Any) -> bytes:
    ends = {"local": "192.0.2.2", "peer": HOST}
    return json.dumps({"type": kind, "neighbor": {"address": ends, **neighbor}}).encode()


def update(part: str, *destinations: str) -> bytes:
    routes = [
        {
            "destination-ipv4": [each],
            "protocol": ["=udp"],
            "string": f"flow destination-ipv4 {each}",
        }
        for each in destinations
    ]
    listed = {"no-nexthop": routes} if part == "announce" else routes
    community = [{"value": 1, "string": "rate-limit:0"}]
    content = {"attribute": {"extended-community": community}, part: {"ipv4 flow": listed}}
    return message("update", message={"update": content})


def heard(under: Sessions, line: bytes) -> list[Received]:
    found = under.hear(line)
    assert found is not None
    return [each for each in found if isinstance(each, Received)]


def test_a_session_comes_and_goes_with_its_routes() -> None:
    under = Sessions({HOST: 10})
    assert under.sessions()[0].why == "no session yet"
    assert under.hear(message("state", state="up")) is None
    assert under.hear(message("negotiated", negotiated={"families": ["ipv4 flow"]})) is None
    (session,) = under.sessions()
    assert (session.up, session.families, session.why) == (True, ("ipv4 flow",), "")
    heard(under, update("announce", "198.51.100.7/32", "198.51.100.8/32"))
    assert under.sessions()[0].kept == 2
    heard(under, update("withdraw", "198.51.100.7/32"))
    (left,) = under.received()
    assert b"198.51.100.8" in bytes(left.message)
    ended = message("state", state="down", reason="peer closed\nthe session")
    assert under.hear(ended) == [Gone(HOST)]
    (session,) = under.sessions()
    assert (session.up, session.kept, session.why) == (False, 0, "peer closed the session")


def test_the_reason_of_a_lost_session_is_the_notification() -> None:
    under = Sessions({HOST: 10})
    told = {"code": 2, "subcode": 2, "message": "OPEN message error, bad peer AS"}
    under.hear(message("notification", notification=told))
    under.hear(message("state", state="down", reason="the connection ended"))
    assert "check peer_as and local_as" in under.sessions()[0].why
    under.hear(message("state", state="connected"))
    under.hear(message("state", state="down", reason="notification sent (2,2)"))
    assert "check peer_as and local_as" in under.sessions()[0].why


def test_without_a_connection_the_status_says_what_to_check() -> None:
    under = Sessions({HOST: 10})
    under.hear(message("fsm", state="ACTIVE"))
    assert "port 179" in under.sessions()[0].why


def test_each_received_route_can_be_read_as_an_event() -> None:
    under = Sessions({HOST: 10})
    told = heard(under, update("announce", "198.51.100.7/32", "198.51.100.8/32"))
    events = [event for each in told for event in exabgp.read(bytes(each.message))]
    assert [str(event.victim) for event in events] == ["198.51.100.7/32", "198.51.100.8/32"]
    assert not any(event.ignored for event in events)


def test_routes_beyond_the_limit_are_counted_and_dropped() -> None:
    under = Sessions({HOST: 3})
    under.hear(message("state", state="up"))
    told = heard(under, update("announce", *(f"198.51.100.{n}/32" for n in range(10))))
    assert len(told) == 3
    (session,) = under.sessions()
    assert (session.kept, session.beyond) == (3, 7)
    assert len(heard(under, update("announce", "198.51.100.1/32"))) == 1, "it is kept already"


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"type": 1}',
        b'{"type": "update", "neighbor": []}',
        b'{"type": "update", "neighbor": {"address": {"peer": "192.0.2.9"}}}',
        message("update", message=[]),
        message("update", message={"update": {"announce": {"ipv4 flow": {"x": 1}}}}),
        message("update", message={"update": {"announce": {"ipv4 flow": [1, "x", None]}}}),
        message("negotiated", negotiated={"families": 7}),
        message("state"),
    ],
)
def test_invalid_messages_change_nothing(line: bytes) -> None:
    under = Sessions({HOST: 3})
    assert not under.hear(line)
    assert not list(under.received())


def test_a_message_that_is_not_json_is_an_error() -> None:
    under = Sessions({HOST: 3})
    for line in (b"{", b"[]", b"\xff"):
        with pytest.raises(ValueError, match=r".*"):
            under.hear(line)


def test_routes_of_a_peer_that_is_not_received_from_are_not_kept() -> None:
    under = Sessions({HOST: 0})
    assert not heard(under, update("announce", "198.51.100.7/32"))
    assert not list(under.received())


def test_attributes_are_shared_and_large_ones_are_left_out() -> None:
    under = Sessions({HOST: 10})
    data = json.loads(update("announce", "198.51.100.7/32"))
    attributes = data["neighbor"]["message"]["update"]["attribute"]
    attributes["as-path"] = list(range(10_000))
    (told,) = heard(under, json.dumps(data).encode())
    assert len(bytes(told.message)) < 500
    attributes["extended-community"] *= 10_000
    assert not heard(under, json.dumps(data).encode())
    assert under.sessions()[0].beyond == 1


def test_the_next_hop_of_a_flowspec_route_is_ignored() -> None:
    under = Sessions({HOST: 10})
    data = json.loads(update("announce", "198.51.100.7/32"))
    listed = data["neighbor"]["message"]["update"]["announce"]["ipv4 flow"]["no-nexthop"]
    listed[0] |= {"next-hop": "192.0.2.1", "string": "another"}
    (told,) = heard(under, json.dumps(data).encode())
    (event,) = exabgp.read(bytes(told.message))
    assert not event.ignored
    heard(under, update("withdraw", "198.51.100.7/32"))
    assert not list(under.received())
