# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on matches over the API: adding, listing, changing, refusing, and their kernel entries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from xdpctl.abi.constants import Action, SlotNumber, Spare
from xdpctl.abi.sizes import RATE_COST_SHIFT
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.file import parse
from xdpctl.control.operations import default_limits
from xdpctl.control.state.counts import CROWD

MATCH = {"protocol": "udp", "source_port": "53", "packet_length": ">=512"}
BAD = "bad-request"
TEXT = "proto udp src-port 53 length >=512"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=2000) as api:
        yield api


def add(api: Api, match: object = TEXT, status: int = 201, **more: object) -> dict[str, Any]:
    answer = api.call("POST", "/v1/rules", json={"match": match, **more})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def slot_of(api: Api, number: int) -> Slot:
    return Slot.unpack(api.datapath.source.words[number].tobytes())


def test_components_and_text_are_the_same_rule(api: Api) -> None:
    made = add(api, MATCH, reason="reflection", ttl="1h")
    assert made["match"] == MATCH
    assert made["text"] == TEXT
    assert (made["slot"], made["spare"], made["in_kernel"]) == (3, "known", True)
    again = add(api, "udp length >=512 src-port 53", 200)
    assert again["id"] == made["id"]
    assert again["expires_in"] is None
    word = slot_of(api, made["slot"])
    assert (word.action, word.spare) == (Action.DROP, Spare.KNOWN)
    assert int(api.datapath.control["armed"]) in (1, 2)


def test_a_match_on_a_source_alone_is_the_rule_on_that_source(api: Api) -> None:
    assert add(api, {"source": "203.0.113.7"})["id"] == "203.0.113.7_32"
    assert add(api, "src 203.0.113.8")["id"] == "203.0.113.8_32"
    assert add(api, "src 203.0.113.7 udp")["id"].startswith("m-")
    limit = {"action": "limit", "limit": {"pps": 10}}
    found = problem(
        api.call("POST", "/v1/rules", json={"match": "src 203.0.113.7", **limit}), 409, "conflict"
    )
    assert "already a rule of operator (enforce drop) on 203.0.113.7/32" in found["detail"]
    paced = add(api, "src 203.0.113.7", 200, replace=True, **limit)
    assert (paced["id"], paced["limit"]["per"]) == ("203.0.113.7_32", "all")
    assert parse_prefix("203.0.113.7") not in api.controller.state.rules
    back = add(api, "src 203.0.113.7", 200, replace=True)
    assert (back["id"], back["spare"]) == ("203.0.113.7_32", "none")
    assert "203.0.113.7_32" not in api.controller.state.matches


def test_a_change_that_moves_a_rule_to_another_table_is_undone(api: Api) -> None:
    made = add(api, "src 203.0.113.7", reason="mine")
    path = f"/v1/rules/{made['id']}"
    paced = {"action": "limit", "limit": {"pps": 10}}
    number = api.call("PATCH", path, json=paced).json()["change"]
    assert api.call("PATCH", path, json={"limit": {"pps": 20}}).status_code == 200
    kept = api.call("POST", f"/v1/history/{number}/undo").json()
    assert (kept["restored"], kept["kept"]) == (0, 1), "it was changed since"
    assert api.call("GET", path).json()["limit"]["pps"] == 20
    later = api.call("GET", "/v1/history").json()["changes"][0]["number"]
    for change in (later, number):
        assert api.call("POST", f"/v1/history/{change}/undo").json()["restored"] == 1
    back = api.call("GET", path).json()
    assert (back["action"], back["reason"], back["spare"]) == ("drop", "mine", "none")
    assert not api.controller.state.matches
    gone = api.call("DELETE", path).json()["change"]
    api.call("POST", "/v1/rules", json={"match": "src 203.0.113.7", **paced})
    assert api.call("POST", f"/v1/history/{gone}/undo").json()["restored"] == 0


def test_a_rule_keeps_what_it_spares_when_its_priority_is_removed(api: Api) -> None:
    made = add(api, "src 203.0.113.7", priority=5, spare="established")
    path = f"/v1/rules/{made['id']}"
    assert api.call("PATCH", path, json={"priority": 0}).json()["spare"] == "established"
    assert api.controller.state.rules


def test_limits_reach_the_kernel_as_the_time_per_packet(api: Api) -> None:
    limit = {"bps": 8_000_000, "burst": 0.25, "per": "source/24"}
    made = add(api, "udp", action="limit", limit=limit)
    rate = api.datapath.matches.rate(made["slot"])
    assert int(rate["cost"]) == 1000 << RATE_COST_SHIFT, "a byte a microsecond"
    assert (int(rate["burst_ns"]), int(rate["by_bytes"])) == (250_000_000, 1)
    assert int(rate["source4"]) == 0xFFFFFF00
    assert int(rate["source6"]) == 2**64 - 1
    path = f"/v1/rules/{made['id']}"
    changed = api.call("PATCH", path, json={"limit": {"pps": 100}, "spare": "none"}).json()
    assert (changed["limit"]["pps"], changed["limit"]["bps"]) == (100, None)
    assert int(api.datapath.matches.rate(made["slot"])["cost"]) == 10_000_000 << RATE_COST_SHIFT
    assert not slot_of(api, made["slot"]).spare


def test_a_limit_per_destination_is_returned_as_it_was_given(api: Api) -> None:
    made = add(api, "tcp", action="limit", limit={"pps": 10, "per": "destination+source/24,/56"})
    assert (made["limit"]["per"], made["spare"]) == ("destination+source/24,/56", "none")
    rate = api.datapath.matches.rate(made["slot"])
    assert int(rate["destination4"]) == 2**32 - 1
    assert int(rate["source4"]) == 0xFFFFFF00
    assert rate["destination6"].tolist() == [2**64 - 1] * 2
    assert int(rate["source6"]) == 2**64 - 2**8


@pytest.mark.parametrize("action", ["challenge", "cookies"])
def test_answers_to_challenges_are_read_only_while_there_is_a_challenge_rule(
    api: Api, action: str
) -> None:
    made = add(api, "dst 198.51.100.7", action=action)
    assert (made["action"], made["spare"], made["limit"]) == (action, "none", None)
    number = Action[action.upper()]
    assert int(api.datapath.control["challenging"]) == 1 << number
    api.call("DELETE", f"/v1/rules/{made['id']}")
    assert int(api.datapath.control["challenging"]) == 0


def test_a_challenge_rule_may_spare_nobody(api: Api) -> None:
    body = {"match": "tcp", "action": "challenge", "spare": "known"}
    answer = api.call("POST", "/v1/rules", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, "spare")


def test_rules_that_differ_in_their_payload_alone_crowd_each_other(api: Api) -> None:
    """A packet with the header of all of them is compared with each."""
    for number in range(CROWD):
        add(api, f"udp dst-port 53 payload @0 {number:04x}", action="drop")
    more = add(api, "udp dst-port 53 payload @0 ffff", 507, action="drop")
    assert "rules with a payload" in str(more)
    add(api, "udp dst-port 123 payload @0 ffff", action="drop")


def test_a_challenge_of_dns_queries_is_chosen_by_the_protocol(api: Api) -> None:
    body = {"match": "dst 198.51.100.53 udp dst-port 53", "action": "challenge"}
    made = api.call("POST", "/v1/rules", json=body).json()
    assert made["action"] == "challenge"
    assert any("over TCP" in warning for warning in made["warnings"])
    assert int(api.datapath.control["challenging"]) == 1 << Action.CHALLENGE_UDP
    syns = add(api, "dst 198.51.100.53", action="challenge")
    assert (
        int(api.datapath.control["challenging"])
        == 1 << Action.CHALLENGE_UDP | 1 << Action.CHALLENGE
    )
    for each in (made, syns):
        api.call("DELETE", f"/v1/rules/{each['id']}")


@pytest.mark.parametrize("payload", ["@0 ffffffff", "@0 ffffffff54", "@0 ffffffff54536f75"])
def test_a_challenge_of_game_queries_is_chosen_by_their_first_bytes(api: Api, payload: str) -> None:
    made = add(api, f"udp dst-port 27015 payload {payload}", action="challenge")
    assert int(api.datapath.control["challenging"]) == 1 << Action.CHALLENGE_UDP
    assert made["warnings"] == []


@pytest.mark.parametrize(
    ("match", "action"),
    [
        ("udp", "challenge"),
        ("udp payload @0 ffffff", "challenge"),
        ("udp payload @1 ffffffff", "challenge"),
        ("udp payload @0 ff00ffff", "challenge"),
        ("udp payload @0 ffffffff", "cookies"),
        ("udp payload @0 ffffffff41", "challenge"),
        ("udp dst-port 53 payload @0 ffffffff", "challenge"),
        ("udp dst-port 53 payload @2 80/80", "challenge"),
        ("udp dst-port 53,443", "challenge"),
        ("udp src-port 53", "challenge"),
        ("udp dst-port 53", "cookies"),
    ],
)
def test_other_packets_of_udp_cannot_be_challenged(api: Api, match: str, action: str) -> None:
    answer = api.call("POST", "/v1/rules", json={"match": match, "action": action})
    said = answer.json()
    assert (answer.status_code, said["field"]) == (400, "match")
    assert 'write "udp dst-port 53"' in said["fix"]


def test_a_limit_on_udp_does_not_become_a_challenge(api: Api) -> None:
    made = add(api, "udp dst-port 123", action="limit", limit={"pps": 5})
    answer = api.call("PATCH", f"/v1/rules/{made['id']}", json={"action": "challenge"})
    assert (answer.status_code, answer.json()["field"]) == (400, "match")


def test_a_rule_may_become_a_challenge_in_one_step(api: Api) -> None:
    made = add(api, "dst 198.51.100.7 flags syn&!ack")
    changed = api.call("PATCH", f"/v1/rules/{made['id']}", json={"action": "challenge"}).json()
    assert (changed["action"], changed["spare"]) == ("challenge", "none")


def test_matches_are_listed_after_sources_in_their_order_of_evaluation(api: Api) -> None:
    last = add(api, "ttl 1")["id"]
    first = add(api, "vlan 7", priority=-1)["id"]
    middle = add(api, "dst 198.51.100.7 udp")["id"]
    add(api, {"source": "203.0.113.7"})
    wanted = ["203.0.113.7_32", first, middle, last]
    seen, cursor = [], None
    while True:
        query = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = api.call("GET", "/v1/rules", params=query).json()
        seen += [rule["id"] for rule in page["rules"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == wanted
    slots = api.datapath.matches._generations[int(api.datapath.control["armed"]) - 1]["slots"]
    assert slots[:3].tolist() == [4, 5, 3]


def test_a_removed_match_leaves_the_kernel_and_its_slot_is_reused(api: Api) -> None:
    made = add(api, confirm_within=60)
    path = f"/v1/rules/{made['id']}"
    assert api.call("POST", f"{path}/confirm").json()["confirm_in"] is None
    assert api.call("GET", path).headers["etag"]
    gone = api.call("DELETE", path)
    assert gone.status_code == 200
    assert slot_of(api, made["slot"]).action is Action.NONE
    assert int(api.datapath.control["armed"]) == 0
    assert api.call("GET", path).status_code == 404
    assert add(api, "udp")["slot"] == made["slot"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"match": "udp flags syn"}, "match.tcp_flags"),
        ({"match": "src-prt 5"}, "match"),
        ({"match": {"protocol": "udp", "dscp": 64}}, "match.dscp"),
        ({"match": "udp", "action": "limit"}, "limit"),
        ({"match": "udp", "limit": {"pps": 5}}, "limit"),
        ({"match": "udp", "action": "limit", "limit": {"pps": 5, "bps": 5000}}, "limit"),
        ({"match": "udp", "action": "limit", "limit": {"pps": 0}}, "limit"),
        ({"match": "udp", "action": "limit", "limit": {"pps": 2e9}}, "limit.pps"),
        ({"match": "udp", "action": "limit", "limit": {"bps": 10}}, "limit.bps"),
        ({"match": "udp", "action": "limit", "limit": {"pps": 5, "burst": 0.001}}, "limit.burst"),
        ({"match": "udp", "priority": 40000}, "priority"),
        ({"match": "proto 0-255"}, "match"),
        ({"match": {}}, "match"),
    ],
)
def test_bad_input_is_400_with_the_field_and_changes_nothing(
    api: Api, body: dict[str, Any], field: str
) -> None:
    found = problem(api.call("POST", "/v1/rules", json=body), 400, BAD)
    assert found["field"] == field
    assert found["fix"]
    assert not api.controller.state.matches
    assert int(api.datapath.control["armed"]) == 0


def test_a_monitored_match_can_be_enforced(api: Api) -> None:
    for match in ("udp", {"source": "203.0.113.7"}):
        made = add(api, match, mode="monitor")
        path = f"/v1/rules/{made['id']}"
        assert api.call("POST", f"{path}/enforce").json()["mode"] == "enforce"
        assert api.call("GET", path).json()["mode"] == "enforce"
    assert problem(api.call("POST", "/v1/rules/m-0/enforce"), 404, "not-found")


def test_an_admin_may_drop_everything_with_force(api: Api) -> None:
    made = add(api, "proto 0-255", force=True)
    assert made["text"] == "proto 0-255"


def test_one_match_too_many_is_refused_and_the_others_stay(api: Api) -> None:
    lines = "\n".join(f'{{"match": {{"vlan": "{n}"}}}}' for n in range(1, 1025))
    headers = {"content-type": "application/x-ndjson"}
    done = api.call("POST", "/v1/rules/bulk", content=lines, headers=headers).json()
    assert (done["added"], done["rejected"]) == (1024, 0)
    found = problem(api.call("POST", "/v1/rules", json={"match": "udp"}), 507, "capacity")
    assert "1024 rules on matches" in found["detail"]
    assert len(api.controller.state.matches) == 1024
    full = next(t for t in api.call("GET", "/v1/status").json()["tables"] if t["fill"] == 1)
    assert full["name"] == "matches"
    assert max(s.slot for s in api.controller.state.matches.values()) < SlotNumber.SETS


def test_a_rule_on_a_source_may_become_a_limit_or_get_a_priority(api: Api) -> None:
    """It moves from the kernel's table of sources to the one of matches."""
    path = f"/v1/rules/{add(api, {'source': '203.0.113.7'})['id']}"
    first = api.call("PATCH", path, json={"priority": 3}).json()
    assert (first["slot"], first["spare"], first["action"]) == (3, "known", "drop")
    paced = api.call("PATCH", path, json={"action": "limit", "limit": {"pps": 10}}).json()
    assert (paced["slot"], paced["limit"]["pps"]) == (3, 10)
    change = {"action": "accept", "priority": 0}
    assert api.call("PATCH", path, json=change).json()["slot"] >= SlotNumber.FIRST
    assert not api.controller.state.matches
    assert api.call("DELETE", path).status_code == 200


MINE = {"Forwarded": "for=10.1.1.1"}


def asked(api: Api, match: str, **more: object) -> dict[str, Any]:
    """Add a rule as a caller who is logged in from 10.1.1.1."""
    answer = api.call("POST", "/v1/rules", json={"match": match, **more}, headers=MINE)
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "match",
    [
        *("tcp dst-port 22", "tcp flags psh", "flags psh+ack", "tcp dst-port 8443"),
        *("port 1024-65535", "src 10.0.0.0/8 tcp", "ttl <100", "fragment !later"),
    ],
)
def test_a_caller_may_not_cut_off_his_own_session(api: Api, match: str) -> None:
    assert asked(api, match, spare="none")["type"].endswith("lockout")
    assert asked(api, match, spare="none", confirm_within=60)["created"]
    spared = asked(api, "tcp dst-port 443")
    assert spared["warnings"] == [
        "it also drops new connections of your own; established ones are spared"
    ]
    path = f"/v1/rules/{spared['id']}"
    refused = api.call("PATCH", path, json={"spare": "none"}, headers=MINE)
    assert problem(refused, 409, "lockout")["field"] == "spare"


@pytest.mark.parametrize("match", ["udp", "tcp flags syn", "flags rst", "icmp", "src 10.2.0.0/16"])
def test_a_match_that_leaves_the_callers_session_alone_is_no_lockout(api: Api, match: str) -> None:
    assert asked(api, match, spare="none")["created"]


def test_an_accept_stays_while_a_match_would_cut_the_caller_off(api: Api) -> None:
    api.add("10.1.1.1", action="accept")
    made = asked(api, "tcp dst-port 22", spare="none")
    assert made["created"]
    refused = api.call("DELETE", "/v1/rules/10.1.1.1_32", headers=MINE)
    assert made["id"] in problem(refused, 409, "lockout")["fix"]
    api.call("DELETE", f"/v1/rules/{made['id']}", headers=MINE)
    assert api.call("DELETE", "/v1/rules/10.1.1.1_32", headers=MINE).status_code == 200


def test_paging_continues_after_a_rule_that_is_gone(api: Api) -> None:
    ids = [add(api, f"ttl {n}")["id"] for n in (1, 2, 3, 4)]
    first = api.call("GET", "/v1/rules", params={"limit": 2}).json()
    api.call("DELETE", f"/v1/rules/{ids[1]}")
    rest = api.call("GET", "/v1/rules", params={"limit": 2, "cursor": first["next"]}).json()
    assert [rule["id"] for rule in rest["rules"]] == ids[2:]
    problem(api.call("GET", "/v1/rules", params={"cursor": "sig;x;udp"}), 400, BAD)


def test_lists_in_lists_and_a_limit_of_null_are_refused(api: Api) -> None:
    nested = '{"match": {"port": ' + "[" * 900 + "]" * 900 + "}}"
    headers = {"content-type": "application/x-ndjson"}
    body = nested + '\n{"match": {"port": 53}}'
    done = api.call("POST", "/v1/rules/bulk", content=body, headers=headers).json()
    assert (done["added"], done["rejected"]) == (1, 1)
    path = f"/v1/rules/{add(api, 'udp', action='limit', limit={'pps': 5})['id']}"
    assert problem(api.call("PATCH", path, json={"limit": None}), 400, BAD)["field"] == "limit"


@pytest.mark.parametrize(
    "match",
    [{"protocol": "udp", "source_port": None}, {"protocol": True}, {"source_port": [True]}],
)
def test_no_given_component_is_left_out_of_a_match(api: Api, match: dict[str, Any]) -> None:
    problem(api.call("POST", "/v1/rules", json={"match": match}), 400, BAD)
    assert not api.controller.state.matches


def test_a_configured_limit_is_not_taken_over(api: Api) -> None:
    limits = parse({"limits": [{"match": "udp dst-port 53", "pps": 5}]}).default_limits
    api.controller.submit(lambda draft: default_limits.bring(draft, limits)).result(10)
    found = api.call("POST", "/v1/rules", json={"match": "udp dst-port 53", "ttl": 3})
    assert "limited by the configuration" in problem(found, 409, "conflict")["detail"]
    (held,) = api.controller.state.matches.values()
    assert held.origin == "configured"
    assert api.call("DELETE", f"/v1/rules/{held.id}").status_code == 200


def test_bulk_takes_the_short_text(api: Api) -> None:
    headers = {"content-type": "application/x-ndjson"}
    body = '{"match": "udp src-port 53"}'
    done = api.call("POST", "/v1/rules/bulk", content=body, headers=headers).json()
    assert done["added"] == 1
    (held,) = api.controller.state.matches.values()
    assert str(held.match) == "proto udp src-port 53"


def test_a_limit_that_becomes_a_drop_spares_what_a_new_drop_would(api: Api) -> None:
    limit = {"pps": 200, "per": "source"}
    made = api.call(
        "POST", "/v1/rules", json={"match": "tcp dst-port 443", "action": "limit", "limit": limit}
    ).json()
    new = api.call("POST", "/v1/rules", json={"match": "tcp dst-port 80", "action": "drop"}).json()
    where = f"/v1/rules/{made['id']}"
    assert made["spare"] != new["spare"]
    assert api.call("PATCH", where, json={"action": "drop"}).json()["spare"] == new["spare"]
    named = {"action": "limit", "limit": limit, "spare": "none"}
    api.call("PATCH", where, json=named)
    kept = api.call("PATCH", where, json={"action": "drop", "spare": "none", "force": True}).json()
    assert kept["spare"] == "none", "somebody has named it"
