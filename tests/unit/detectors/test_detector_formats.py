# SPDX-License-Identifier: GPL-2.0-or-later
"""Each detector's format, as its documentation and tools define it."""

import json
from typing import Any

import pytest

from tests.support.detector_formats import ADVANCED, VICTIM, alert, called, eve, read
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.event import Attack, Phase

REPORT = """IP: 0.0.0.0
Attack type: udp_flood
Initial attack power: 2043 packets per second
Peak attack power: 2500 packets per second
Attack direction: incoming
Attack protocol: udp

Attack traffic dump

"""
LINE = "2026-11-24 22:34:21.36 {} > {} protocol: udp frag: 0  packets: 1 size: 106 bytes ttl: 64 \n"


def test_fastnetmon_names_the_victim_and_how_it_looks() -> None:
    for port, attack in ((53, Attack.AMPLIFICATION), (4000, Attack.UDP_FLOOD)):
        dump = LINE.format(f"127.0.0.1:{port}", "198.51.100.2:4444") * 20
        dump += LINE.format("198.51.100.2:99", "203.0.113.1:1") * 30  # the other direction
        (event,) = read(
            "fastnetmon", called("198.51.100.2", "incoming", "2043", "ban", stdin=REPORT + dump)
        )
        assert (event.phase, event.victim, event.attack) == (Phase.BEGAN, VICTIM, attack)
        assert (event.pps, event.sources) == (2500, ()), "sources in the dump may be forged"
        assert event.port == (53 if attack is Attack.AMPLIFICATION else None)
    (ended,) = read("fastnetmon", called("198.51.100.2", "incoming", "2043", "unban"))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)


def test_fastnetmon_reports_ipv6_in_its_arguments() -> None:
    argv = ("2001:0db8:0066::0002", "incoming", "2361", "ban")
    (event,) = read("fastnetmon", called(*argv, stdin=REPORT))
    assert event.victim == parse_prefix("2001:db8:66::2")


def test_an_outgoing_attack_in_fastnetmon_has_no_victim() -> None:
    (event,) = read("fastnetmon", called("198.51.100.2", "outgoing", "9", "ban", stdin=REPORT))
    assert event.victim is None
    assert "an outgoing attack of our" in event.ignored


def test_fastnetmon_advanced_has_its_own_ids_and_rules() -> None:
    (event,) = read("fastnetmon", ADVANCED)
    assert (event.victim, event.attack, event.port) == (VICTIM, Attack.AMPLIFICATION, 123)
    (ended,) = read("fastnetmon", {**ADVANCED, "action": "unban", "packet_dump_detailed": []})
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    rules = [
        {
            "uuid": "55",
            "action_type": "rate-limit",
            "action": {"rate": 1024},
            "destination_prefix": "198.51.100.2/32",
            "source_prefix": "52.89.198.77/32",
            "protocols": ["tcp"],
            "destination_ports": [56226, 80],
            "tcp_flags": ["syn|ack"],
            "fragmentation_flags": ["not-a-fragment"],
        },
        {"uuid": "56", "action_type": "accept", "destination_prefix": "198.51.100.2/32"},
    ]
    partial = {**ADVANCED, "action": "partial_block", "flow_spec_rules": rules}
    limited, accepted = read("fastnetmon", partial)
    assert limited.limit
    assert limited.match
    assert limited.limit.bps == 8192
    assert limited.match.as_json() == {
        "destination": "198.51.100.2",
        "source": "52.89.198.77",
        "protocol": "tcp",
        "destination_port": "80,56226",
        "tcp_flags": "syn+ack",
        "fragment": "!later&!first",
    }
    assert accepted.ignored


def test_alertmanager_sends_one_event_per_alert() -> None:
    said = [
        alert(src="203.0.113.7"),
        alert("resolved", dst="198.51.100.2"),
        alert(dst="198.51.100.2", proto="udp", sport="123"),
        alert(dst="198.51.100.2", attack="syn_flood"),
        alert(),
    ]
    source, resolved, matched, named, none = read("alertmanager", {"version": "4", "alerts": said})
    assert source.sources == (parse_prefix("203.0.113.7"),)
    assert (resolved.phase, resolved.victim) == (Phase.ENDED, VICTIM)
    assert str(matched.match) == "dst 198.51.100.2 proto udp src-port 123"
    assert (named.attack, named.match) == (Attack.SYN_FLOOD, None)
    assert "neither" in none.ignored


@pytest.mark.parametrize(
    ("hint", "category", "wanted"),
    [
        ("xdp_block_src", "x", "source"),
        ("xdp_block_dst", "x", "victim"),
        (None, "Attempted Denial of Service", "victim"),
        (None, "A Network Trojan was detected", "nothing"),
    ],
)
def test_a_suricata_alert_does_what_its_rule_says(
    hint: str | None, category: str, wanted: str
) -> None:
    metadata = {"mitigation": [hint]} if hint else None
    line = eve(alert={"category": category, "metadata": metadata})
    lines = b"\n".join(json.dumps(one).encode() for one in (line, {"event_type": "flow"}))
    (event,) = read("suricata", lines + b"\n\n")
    assert bool(event.sources) == (wanted == "source")
    assert (event.victim == VICTIM) == (wanted == "victim")
    assert bool(event.ignored) == (wanted == "nothing")
    if wanted == "victim":
        assert (event.attack, event.port) == (Attack.AMPLIFICATION, 53)


def test_crowdsec_deletions_come_before_new_decisions() -> None:
    ban = {"type": "ban", "origin": "cscli", "scenario": "ssh-bf"}
    gone = {**ban, "scope": "Ip", "value": "203.0.113.7", "duration": "-98.937546ms"}
    new = [
        {**ban, "scope": "ip", "value": "203.0.113.7/32", "duration": "29m59.125409948s"},
        {**ban, "scope": "Range", "value": "203.0.113.0/25", "duration": "1h"},
        {**ban, "scope": "Ip", "value": "::1", "duration": "1h", "type": "captcha"},
        {**ban, "scope": "Country", "value": "XY", "duration": "1h"},
    ]
    ended, again, wide, captcha, country = read("crowdsec", {"deleted": [gone], "new": new})
    assert (ended.phase, again.phase, ended.id) == (Phase.ENDED, Phase.BEGAN, again.id)
    assert again.ttl == pytest.approx(1799.125409948)
    assert wide.sources == (parse_prefix("203.0.113.0/25"),)
    assert captcha.ignored
    assert country.ignored
    assert read("crowdsec", {"deleted": None, "new": None}) == []


def test_fail2ban_bans_for_its_time_and_flushes_a_jail() -> None:
    (event,) = read("fail2ban", called("ban", "sshd", "203.0.113.88", "600"))
    assert (event.phase, event.ttl, event.group) == (Phase.BEGAN, 600.0, "sshd")
    (ended,) = read("fail2ban", called("unban", "sshd", "203.0.113.88", "600"))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    (flushed,) = read("fail2ban", called("flush", "sshd"))
    assert (flushed.phase, flushed.id, flushed.group) == (Phase.ENDED, "", "sshd")
    assert read("fail2ban", called("ban", "sshd", "2001:db8::1", "-1"))[0].ttl is None


def test_sflowrt_events_are_read_from_the_oldest() -> None:
    newest = {"thresholdID": "ddos_protect_udp_amplification", "flowKey": "198.51.100.2,local,53"}
    older = {"thresholdID": "ddos_protect_icmp_flood", "flowKey": "2001:db8::1,local,58"}
    first, second = read("sflowrt", [newest, older])
    assert (first.attack, second.attack, second.port) == (
        Attack.ICMP_FLOOD,
        Attack.AMPLIFICATION,
        53,
    )
    assert read("sflowrt", [{**newest, "flowKey": "local,53"}])[0].ignored


def route(rate: str = "rate-limit:0", part: str = "announce", **components: Any) -> dict[str, Any]:
    parts = {name.replace("_", "-"): value for name, value in components.items()}
    nlri = [{**parts, "string": "flow"}]
    update = {
        "attribute": {"extended-community": [{"value": 1, "string": rate}]},
        part: {"ipv4 flow": {"no-nexthop": nlri} if part == "announce" else nlri},
    }
    neighbor = {"address": {"peer": "192.0.2.9"}, "message": {"update": update}}
    return {"exabgp": "5.0.0", "type": "update", "neighbor": neighbor}


DST: dict[str, Any] = {"destination_ipv4": ["198.51.100.2/32"]}


def test_exabgp_messages_announce_withdraw_and_end_routes() -> None:
    ports: dict[str, Any] = {"protocol": ["=udp"], "source_port": ["=53", ">=1024&<=2047"]}
    (event,) = read("exabgp", route(**DST, **ports))
    assert str(event.match) == "dst 198.51.100.2 proto udp src-port 53,1024-2047"
    assert (event.phase, event.victim, event.limit) == (Phase.BEGAN, VICTIM, None)
    (ended,) = read("exabgp", route(part="withdraw", **DST, **ports))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    down = {"type": "state", "neighbor": {"address": {"peer": "192.0.2.9"}, "state": "down"}}
    (gone,) = read("exabgp", down)
    assert (gone.phase, gone.id, gone.group) == (Phase.ENDED, "", event.group)
    (limited,) = read("exabgp", route("rate-limit:12500000", **DST))
    assert limited.limit
    assert limited.limit.bps == 1e8
    (limited,) = read("exabgp", route("rate-limit:500:packets", **DST))
    assert limited.limit
    assert limited.limit.pps == 500
    (dropped,) = read("exabgp", route("rate-limit:0:packets", **DST))
    assert (dropped.limit, dropped.ignored) == (None, "")
    assert "does not reduce traffic" in read("exabgp", route("origin:1:1", **DST))[0].ignored
    for other in ("mark 46", "redirect:64500:12", "copy-to-nexthop"):
        assert f"asks for {other}" in read("exabgp", route(other, **DST))[0].ignored
    assert "rate-limit:nan" in read("exabgp", route("rate-limit:nan", **DST))[0].ignored
    (wide,) = read("exabgp", route(destination_ipv4=["198.51.100.77/24"]))
    assert str(wide.match) == "dst 198.51.100.0/24", "trailing bits are ignored"
    assert "not a component" in read("exabgp", route(colour=["=1"]))[0].ignored
    assert read("exabgp", route(source_ipv4=["203.0.113.0/24"]))[0].sources


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"tcp_flags": ["=syn&!ack"]}, "flags syn&!ack"),
        ({"tcp_flags": ["ack+cwr&!fin+ece"]}, "flags ack&!fin&!ece,cwr&!fin&!ece"),
        ({"tcp_flags": ["=syn+push", "!=urgent+ns"]}, "flags syn+psh,!urg+ae"),
        ({"fragment": ["=not-a-fragment"]}, "fragment !later&!first"),
        ({"icmp_type": ["=echo-request", ">=11&<=12"]}, "icmp-type 8,11-12"),
        (
            {"icmp_type": [">=router-advertisement&<=timestamp-reply", "=extended-echo-reply"]},
            "icmp-type 9-14,43",
        ),
        (
            {"protocol": ["=igmp", "=rsvp", "=ah", ">=ospf&<=ipip", "=pim"]},
            "proto 2,46,51,89-94,103",
        ),
        ({"protocol": ["!=tcp&!=udp"]}, "proto 0-5,7-16,>=18"),
        ({"source_port": ["true"]}, "src-port 0-65535"),
        ({"source_port": ["=53", ">=1024&false"]}, "src-port 53"),
    ],
)
def test_exabgp_flags_are_read_in_its_own_syntax(theirs: dict[str, Any], ours: str) -> None:
    (event,) = read("exabgp", route(**DST, **theirs))
    assert ours == str(event.match).removeprefix("dst 198.51.100.2 ")


def test_exabgp_routes_that_no_match_can_express_are_ignored() -> None:
    many = "&".join(["fin+syn+rst+ack"] * 6)
    unheld: tuple[dict[str, Any], ...] = (
        {"source_port": ["false"]},
        {"source_port": ["=ssh"]},
        {"source_port": ["53="]},
        {"destination_ipv4": ["198.51.100.2/33"]},
        {"destination_ipv4": ["198.51.100.2/x"]},
        {"tcp_flags": [many]},
        {"destination_ipv6": ["2001:db8::1/128/8"]},
    )
    for bad in unheld:
        assert read("exabgp", route(**bad))[0].ignored
    six = route(destination_ipv6=["2001:db8::1/128/0"], next_header=["=udp"])
    assert str(read("exabgp", six)[0].match) == "dst 2001:db8::1 proto udp"
    alias = {"action": "mitigate", "attack_id": "7", "destination": "198.51.100.2", "port": 53}
    (event,) = read("exabgp", {**alias, "protocol": "udp"})
    assert (str(event.match), event.id) == ("dst 198.51.100.2 proto udp dst-port 53", "7")
    assert read("exabgp", {"action": "clear", "attack_id": "7"})[0].phase is Phase.ENDED


def test_gobgp_routes_are_read_from_their_numbers() -> None:
    match = [
        {"type": 1, "value": {"prefix": "198.51.100.2/32"}},
        {"type": 3, "value": [{"op": 0x81, "value": 17}]},
        {"type": 5, "value": [{"op": 1, "value": 53}, {"op": 3, "value": 1024}]},
        {"type": 10, "value": [{"op": 0x03, "value": 100}, {"op": 0xC4, "value": 200}]},
    ]
    rate = [{"type": 16, "value": [{"type": 128, "subtype": 6, "as": 0, "rate": 0}]}]
    path = {"nlri": {"value": match}, "attrs": [{"type": 1, "value": 2}, *rate]}
    (event,) = read("gobgp", [path])
    assert str(event.match) == "dst 198.51.100.2 proto udp dst-port 53,>=1024 length 100-199"
    (ended,) = read("gobgp", {**path, "withdrawal": True})
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    flags = [match[0], {"type": 9, "value": [{"op": 1, "value": 2}, {"op": 0xC2, "value": 16}]}]
    assert str(read("gobgp", {**path, "nlri": {"value": flags}})[0].match).endswith("syn&!ack")
    for bad in ([{"type": 99}], [{"type": 3, "value": [{"op": 0x87, "value": 1}]}]):
        assert read("gobgp", {"nlri": {"value": bad}})[0].ignored
    posted = {"destination": "198.51.100.2", "protocol": 17, "action": "rate-limit", "rate": 1000}
    (alias,) = read("gobgp", posted)
    assert alias.limit
    assert alias.limit.bps == 8000


def test_wanguard_reports_anomalies_and_sources() -> None:
    (event,) = read("wanguard", called("start", "7", "198.51.100.2/32", "incoming", "SYN", "9000"))
    assert (event.victim, event.attack, event.pps) == (VICTIM, Attack.SYN_FLOOD, 9000)
    (ended,) = read("wanguard", called("stop", "7", "198.51.100.2/32", "incoming", "SYN"))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    assert read("wanguard", called("start", "7", "198.51.100.2", "outgoing", "SYN"))[0].ignored
    (rule,) = read("wanguard", called("rule-start", "9", "Source IP", "203.0.113.7"))
    assert rule.sources == (parse_prefix("203.0.113.7"),)
    assert read("wanguard", called("rule-start", "9", "Source Port", "53"))[0].ignored
