"""Each detector's format: what its tools really sent, and what nobody should."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.detectors import own
from xdpctl.detectors.event import Attack, Event, Phase
from xdpctl.detectors.registry import ADAPTERS, adapter
from xdpctl.errors import NotFoundError, RuleError, XdpctlError
from xdpctl.prefix import parse_prefix

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
VICTIM = parse_prefix("198.51.100.2")


@pytest.fixture
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip(f"the recorded outputs of detectors are not beside this checkout ({SAMPLES})")
    return SAMPLES


def read(name: str, said: Any) -> list[Event]:
    return adapter(name)(said if isinstance(said, bytes) else json.dumps(said).encode())


def called(*argv: str, stdin: str = "") -> dict[str, Any]:
    return {"argv": [*argv], "stdin": stdin}


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
        assert (event.pps, event.sources) == (2500, ()), "whoever is in the dump may be forged"
        assert event.port == (53 if attack is Attack.AMPLIFICATION else None)
    (ended,) = read("fastnetmon", called("198.51.100.2", "incoming", "2043", "unban"))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)


def test_fastnetmon_six_is_taken_from_the_arguments() -> None:
    argv = ("2001:0db8:0066::0002", "incoming", "2361", "ban")
    (event,) = read("fastnetmon", called(*argv, stdin=REPORT))
    assert event.victim == parse_prefix("2001:db8:66::2")


def test_fastnetmon_outgoing_is_not_the_victim() -> None:
    (event,) = read("fastnetmon", called("198.51.100.2", "outgoing", "9", "ban", stdin=REPORT))
    assert event.victim is None
    assert "of ours sends it" in event.ignored


ADVANCED = {
    "action": "ban",
    "alert_scope": "host",
    "ip": "198.51.100.2",
    "attack_details": {"attack_uuid": "c9c3", "total_incoming_pps": 2866},
    "packet_dump_detailed": [
        {"source_ip": "1.2.3.4", "destination_ip": to, "source_port": port, "protocol": "udp"}
        for to, port in [("198.51.100.2", 123)] * 10 + [("9.9.9.9", 53)] * 20
    ],
}


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


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    return {"status": status, "fingerprint": "c3b1", "labels": {"alertname": "Flood", **labels}}


def test_alertmanager_acts_on_each_alert() -> None:
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


def eve(**more: Any) -> dict[str, Any]:
    alert = {"signature_id": 9, "signature": "LAB flood", "category": "x", **more.pop("alert", {})}
    ends = {"src_ip": "203.0.113.7", "dest_ip": "198.51.100.2", "proto": "UDP", "src_port": 53}
    return {"event_type": "alert", "alert": alert, **ends, **more}


@pytest.mark.parametrize(
    ("hint", "category", "wanted"),
    [
        ("xdp_block_src", "x", "source"),
        ("xdp_block_dst", "x", "victim"),
        (None, "Attempted Denial of Service", "victim"),
        (None, "A Network Trojan was detected", "nothing"),
    ],
)
def test_suricata_does_what_its_rule_says(hint: str | None, category: str, wanted: str) -> None:
    metadata = {"mitigation": [hint]} if hint else None
    line = eve(alert={"category": category, "metadata": metadata})
    lines = b"\n".join(json.dumps(one).encode() for one in (line, {"event_type": "flow"}))
    (event,) = read("suricata", lines + b"\n\n")
    assert bool(event.sources) == (wanted == "source")
    assert (event.victim == VICTIM) == (wanted == "victim")
    assert bool(event.ignored) == (wanted == "nothing")
    if wanted == "victim":
        assert (event.attack, event.port) == (Attack.AMPLIFICATION, 53)


def test_crowdsec_forgets_before_it_learns() -> None:
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


def test_sflowrt_counts_from_the_oldest() -> None:
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


DST = {"destination_ipv4": ["198.51.100.2/32"]}


def test_exabgp_announces_withdraws_and_goes_down() -> None:
    ports = {"protocol": ["=udp"], "source_port": ["=53", ">=1024&<=2047"]}
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
    assert "no less traffic" in read("exabgp", route("mark 46", **DST))[0].ignored
    assert "no component" in read("exabgp", route(colour=["=1"]))[0].ignored
    assert read("exabgp", route(source_ipv4=["203.0.113.0/24"]))[0].sources


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"tcp_flags": ["=syn&!ack"]}, "flags syn&!ack"),
        ({"tcp_flags": ["ack+cwr&!fin+ece"]}, "flags ack&!fin&!ece,cwr&!fin&!ece"),
        ({"tcp_flags": ["=syn+push", "!=urgent+ns"]}, "flags syn+psh,!urg+ae"),
        ({"fragment": ["=not-a-fragment"]}, "fragment !later&!first"),
        ({"icmp_type": ["=echo-request", ">=11&<=12"]}, "icmp-type 8,11-12"),
    ],
)
def test_exabgp_writes_bits_its_own_way(theirs: dict[str, Any], ours: str) -> None:
    (event,) = read("exabgp", route(**DST, **theirs))
    assert ours == str(event.match).removeprefix("dst 198.51.100.2 ")


def test_exabgp_ignores_what_it_cannot_hold() -> None:
    many = "&".join(["fin+syn+rst+ack"] * 6)
    for bad in ({"tcp_flags": [many]}, {"destination_ipv6": ["2001:db8::1/128/8"]}):
        assert read("exabgp", route(**bad))[0].ignored
    six = route(destination_ipv6=["2001:db8::1/128/0"], next_header=["=udp"])
    assert str(read("exabgp", six)[0].match) == "dst 2001:db8::1 proto udp"
    alias = {"action": "mitigate", "attack_id": "7", "destination": "198.51.100.2", "port": 53}
    (event,) = read("exabgp", {**alias, "protocol": "udp"})
    assert (str(event.match), event.id) == ("dst 198.51.100.2 proto udp dst-port 53", "7")
    assert read("exabgp", {"action": "clear", "attack_id": "7"})[0].phase is Phase.ENDED


def test_gobgp_says_it_in_numbers() -> None:
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


def test_wanguard_tells_of_anomalies_and_of_sources() -> None:
    (event,) = read("wanguard", called("start", "7", "198.51.100.2/32", "incoming", "SYN", "9000"))
    assert (event.victim, event.attack, event.pps) == (VICTIM, Attack.SYN_FLOOD, 9000)
    (ended,) = read("wanguard", called("stop", "7", "198.51.100.2/32", "incoming", "SYN"))
    assert (ended.phase, ended.id) == (Phase.ENDED, event.id)
    assert read("wanguard", called("start", "7", "198.51.100.2", "outgoing", "SYN"))[0].ignored
    (rule,) = read("wanguard", called("rule-start", "9", "Source IP", "203.0.113.7"))
    assert rule.sources == (parse_prefix("203.0.113.7"),)
    assert read("wanguard", called("rule-start", "9", "Source Port", "53"))[0].ignored


def test_our_own_format_says_all_that_there_is() -> None:
    said = {"phase": "began", "id": "1", "match": "udp src-port 53 dst 198.51.100.2", "pps": 5000}
    (event,) = read("event", said)
    assert (event.victim, event.limit and event.limit.pps) == (VICTIM, 5000)
    several = [{"phase": "ended", "id": "1"}, {"phase": "began", "id": "2", "sources": ["1.2.3.4"]}]
    assert [e.phase for e in read("event", several)] == [Phase.ENDED, Phase.BEGAN]


PROTECT = {"metadata": {"mitigation": ["xdp_block_dst"]}}
BAN = {"value": "1.2.3.4", "scope": "ip", "type": "ban"}
BAD: list[tuple[str, Any, str]] = [
    ("fastnetmon", called("198.51.100.2", "incoming", "1"), "argv"),
    ("fastnetmon", called("198.51.100.2/24", "incoming", "1", "ban"), "argv[0]"),
    ("fastnetmon", {"action": "explode", "ip": "1.2.3.4"}, "action"),
    ("fastnetmon", {"action": "ban"}, "ip"),
    ("fastnetmon", {**ADVANCED, "attack_details": 7}, "attack_details"),
    ("fastnetmon", {"argv": [1]}, "argv"),
    ("alertmanager", {"version": "3", "alerts": []}, "version"),
    ("alertmanager", {"version": "4", "alerts": {}}, "alerts"),
    ("alertmanager", {"version": "4", "alerts": [alert("burning")]}, "status"),
    ("alertmanager", {"version": "4", "alerts": [alert(src="everybody")]}, "labels.src"),
    ("suricata", b'{"event_type":"alert"}\n', "src_ip"),
    ("suricata", eve(dest_ip="nowhere", alert=PROTECT), "dest_ip"),
    ("crowdsec", {"decisions": []}, "new"),
    ("crowdsec", {"new": [{**BAN, "duration": "soon"}]}, "duration"),
    ("fail2ban", called("ban", "sshd", "1.2.3.4; rm -rf /", "600"), "argv[2]"),
    ("fail2ban", called("ban", "sshd", "1.2.3.4", "nan"), "argv[3]"),
    ("fail2ban", called("start", "sshd"), "argv"),
    ("sflowrt", {"thresholdID": 7, "flowKey": "x"}, "thresholdID"),
    ("exabgp", {"type": "update", "neighbor": 7}, "neighbor"),
    ("exabgp", {"action": "shrug"}, "action"),
    ("gobgp", {"uuid": "7"}, "action"),
    ("wanguard", called("start", "7"), "argv"),
    ("wanguard", called("rule-start", "7", "Source IP", "x; reboot"), "argv[3]"),
    ("event", {"phase": "began"}, "id"),
    ("event", {"phase": "began", "id": "1", "victm": "1.2.3.4"}, "victm"),
    ("event", {"phase": "begun", "id": "1"}, "phase"),
    ("event", {"phase": "began", "id": "1", "attack": "amplification"}, "port"),
    ("event", {"phase": "began", "id": "x" * 300}, "id"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "field"), BAD)
def test_what_is_wrong_is_named(name: str, said: Any, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        read(name, said)
    assert caught.value.field == field
    assert caught.value.fix


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"7", b'"x"', b"[" * 5_000, b"[7]", b"null"])
def test_what_is_no_document_is_refused(name: str, body: bytes) -> None:
    try:
        events = adapter(name)(body)
    except RuleError:
        return
    assert events == [], "an empty body of lines says nothing"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(
    "action ip argv stdin attack_details flow_spec_rules alerts version status labels src dst "
    "fingerprint event_type alert src_ip dest_ip metadata new deleted decisions value scope type "
    "duration thresholdID flowKey phase id neighbor nlri attrs "
    "victim sources match attack port ttl pps".split()
)


@pytest.mark.parametrize("name", ADAPTERS)
@given(st.dictionaries(KEYS, JSON | st.sampled_from(["ban", "began", "firing", "1.2.3.4"])))
def test_nothing_but_what_is_wrong_is_ever_raised(name: str, said: dict[str, Any]) -> None:
    try:
        for event in read(name, json.dumps(said).encode()):
            assert event.note.isprintable()
            assert event.ignored.isprintable()
    except XdpctlError:
        pass


def test_who_is_not_known_is_told_who_is() -> None:
    with pytest.raises(NotFoundError, match="fastnetmon"):
        adapter("snort")


def bodies(folder: Path, pattern: str) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob(pattern)):
        yield path.name, json.loads(path.read_text())


def test_every_recorded_call_of_fastnetmon(samples: Path) -> None:
    seen = {}
    for name, argv in bodies(samples / "fastnetmon", "*.argv.json"):
        report = (samples / "fastnetmon" / name.replace("argv.json", "stdin.txt")).read_text()
        (seen[name[:2]],) = read("fastnetmon", called(*argv, stdin=report))
    told = {n: (e.phase.value, str(e.victim), e.attack.value, e.port) for n, e in seen.items()}
    assert told == {
        "00": ("began", "198.51.100.2/32", "amplification", 53),
        "01": ("ended", "198.51.100.2/32", "unknown", None),
        "02": ("began", "2001:db8:66::2/128", "amplification", 123),
        "03": ("ended", "2001:db8:66::2/128", "unknown", None),
        "04": ("began", "198.51.100.2/32", "syn_flood", None),
        "05": ("ended", "198.51.100.2/32", "unknown", None),
        "06": ("began", "None", "unknown", None),
    }


def test_every_recorded_body_of_the_others(samples: Path) -> None:
    for _, wrapped in bodies(samples / "alertmanager", "webhook-*.json"):
        for event in read("alertmanager", wrapped["body"].encode()):
            assert (event.victim, len(event.sources)) == (VICTIM, 1)
    for name, stream in bodies(samples / "crowdsec", "decisions-stream-*.json"):
        assert read("crowdsec", stream), name
    posted = json.loads((samples / "crowdsec" / "http-plugin-post.json").read_text())
    (event, *_) = read("crowdsec", posted["body"].encode())
    assert (event.sources, event.ttl) == ((parse_prefix("203.0.113.77"),), 4 * 3600)
    found = {}
    for path in sorted((samples / "suricata").glob("eve-*.json")):
        for event in read("suricata", path.read_bytes()):
            found[event.note] = (event.attack, event.port, bool(event.victim))
    assert found["LAB SYN flood"] == (Attack.SYN_FLOOD, None, True)
    assert found["LAB DNS amplification response flood"] == (Attack.AMPLIFICATION, 53, True)
    for _, call in bodies(samples / "fail2ban", "0*.json"):
        _, verb, jail, *rest = call["argv"]
        if verb in ("ban", "unban"):
            (event,) = read("fail2ban", called(verb, jail, rest[0], rest[4]))
            assert event.sources
    routes = read("exabgp", (samples / "bgp" / "exabgp5-flowspec-updates.jsonl").read_bytes())
    shown = {str(event.match): (event.limit.bps if event.limit else 0) for event in routes}
    assert shown["dst 203.0.113.67 proto udp src-port 123"] == 1e8
    assert shown["dst 203.0.113.10 src 198.18.7.0/24 proto udp dst-port 53 length >=512"] == 0
    assert shown["dst 2001:db8:113::10 proto udp src-port 53"] == 0
    assert sum(bool(event.ignored) for event in routes) == 2, "one marks, one cannot be matched"


def test_the_schema_of_our_format_says_what_is_read() -> None:
    path = Path(__file__).parents[2] / "docs" / "event.schema.json"
    event = json.loads(path.read_text())["$defs"]["event"]
    assert event["properties"].keys() == own.KNOWN
    assert event["properties"]["phase"]["enum"] == [*Phase]
    assert event["properties"]["attack"]["enum"] == [*Attack]
    least = dict.fromkeys(event["required"], "ended")
    assert read("event", least)
    for missing in least:
        with pytest.raises(RuleError):
            read("event", {name: "ended" for name in least if name != missing})
