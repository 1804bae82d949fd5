# SPDX-License-Identifier: GPL-2.0-or-later
"""What ExaBGP says of sessions and routes, in messages as ExaBGP 5.0.15 wrote them."""

import json
from typing import Any

import pytest

from xdpctl.detectors.formats import exabgp
from xdpctl.model.event import Phase
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


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def graceful(seconds: int = 60, *families: str) -> bytes:
    flags: dict[str, list[str]] = {family: [] for family in families or ("ipv4/flow",)}
    capability = {"name": "graceful restart", "time": seconds, "address-family-flags": flags}
    return message("open", open={"capabilities": {"64": capability}})


def restarting(seconds: int = 60, *families: str) -> tuple[Sessions, Time]:
    """Sessions whose peer has sent two routes, and has lost its connection."""
    clock = Time()
    under = Sessions({HOST: 10}, clock)
    under.hear(graceful(seconds, *families))
    under.hear(message("state", state="up"))
    heard(under, update("announce", "198.51.100.7/32", "198.51.100.8/32"))
    return under, clock


def parts(messages: object) -> list[str]:
    assert isinstance(messages, list)
    return [
        "withdraw" if b'"withdraw"' in bytes(each.message) else "announce"
        for each in messages
        if isinstance(each, Received)
    ]


DOWN = message("state", state="down", reason="peer closed the session")
END = message("update", message={"eor": {"afi": "ipv4", "safi": "flow"}})


def test_routes_of_a_peer_that_restarts_gracefully_stay_until_it_has_sent_them_again() -> None:
    under, clock = restarting()
    assert under.hear(DOWN) is None
    assert not under.sessions()[0].up
    assert len(list(under.received())) == 2
    clock.now += 50
    assert not under.over()
    under.hear(graceful())
    assert under.hear(message("state", state="up")) is None
    heard(under, update("announce", "198.51.100.7/32"))
    assert parts(under.hear(END)) == ["withdraw"]
    (left,) = under.received()
    assert b"198.51.100.7" in bytes(left.message)
    clock.now += 500
    assert not under.over()


def test_a_withdrawal_that_is_made_up_reads_as_the_peers_own() -> None:
    under, _ = restarting()
    under.hear(DOWN)
    under.hear(graceful())
    under.hear(message("state", state="up"))
    ended = under.hear(END)
    assert ended is not None
    events = [e for m in ended if isinstance(m, Received) for e in exabgp.read(bytes(m.message))]
    assert {str(event.victim) for event in events} == {"198.51.100.7/32", "198.51.100.8/32"}
    assert {event.phase for event in events} == {Phase.ENDED}


def test_a_peer_that_does_not_come_back_in_time_is_gone() -> None:
    under, clock = restarting(30)
    under.hear(DOWN)
    assert under.hear(DOWN) is None, "another attempt has failed"
    clock.now += 31
    assert under.over() == [Gone(HOST)]
    assert not list(under.received())
    assert not under.over()


def test_a_peer_that_is_back_and_silent_loses_what_it_has_not_sent_again() -> None:
    under, clock = restarting()
    under.hear(DOWN)
    under.hear(graceful())
    under.hear(message("state", state="up"))
    clock.now += 61
    assert parts(under.over()) == ["withdraw", "withdraw"]


def test_a_notification_ends_the_routes_at_once() -> None:
    under, _ = restarting()
    told = {"code": 6, "subcode": 2, "message": "administrative shutdown"}
    under.hear(message("notification", notification=told))
    assert under.hear(DOWN) == [Gone(HOST)]


def test_routes_of_a_family_that_does_not_restart_end_with_the_session() -> None:
    under, _ = restarting(60, "ipv6/flow")
    assert parts(under.hear(DOWN)) == ["withdraw", "withdraw"]
    bare, _ = restarting(60, "ipv4/unicast")
    assert bare.hear(DOWN) == [Gone(HOST)]


@pytest.mark.parametrize("families", [("ipv4/unicast",), ("ipv6/flow",)])
def test_only_families_that_the_peer_restarts_are_kept(families: tuple[str, ...]) -> None:
    under, _ = restarting()
    under.hear(DOWN)
    under.hear(graceful(60, *families))
    assert parts(under.hear(message("state", state="up"))) == ["withdraw", "withdraw"]


def test_a_peer_cannot_have_its_routes_kept_for_hours() -> None:
    under, clock = restarting(4_095)
    under.hear(DOWN)
    clock.now += 121
    assert under.over() == [Gone(HOST)]


def test_a_route_that_is_stale_twice_is_gone() -> None:
    under, _ = restarting()
    under.hear(DOWN)
    under.hear(graceful())
    under.hear(message("state", state="up"))
    heard(under, update("announce", "198.51.100.8/32"))
    assert parts(under.hear(DOWN)) == ["withdraw"]
    (left,) = under.received()
    assert b"198.51.100.8" in bytes(left.message)


def test_a_session_that_this_side_has_ended_ends_the_routes_at_once() -> None:
    under, _ = restarting()
    ended = message("state", state="down", reason="notification sent (4,0)")
    assert under.hear(ended) == [Gone(HOST)]


def test_stale_routes_give_way_to_new_ones() -> None:
    clock = Time()
    under = Sessions({HOST: 2}, clock)
    under.hear(graceful())
    under.hear(message("state", state="up"))
    heard(under, update("announce", "198.51.100.7/32", "198.51.100.8/32"))
    under.hear(DOWN)
    under.hear(graceful())
    under.hear(message("state", state="up"))
    told = under.hear(update("announce", "198.51.100.9/32"))
    assert parts(told) == ["withdraw", "announce"]
    assert under.sessions()[0].beyond == 0
