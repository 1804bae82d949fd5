# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded events of real detectors, and invalid ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.paths import ROOT, SHARED
from tests.support.detector_formats import ADVANCED, VICTIM, alert, called, eve, read
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors.formats import native
from xdpctl.detectors.registry import ADAPTERS, adapter
from xdpctl.errors import NotFoundError, RuleError, XdpctlError
from xdpctl.model.event import Attack, Event, Phase

SAMPLES = SHARED / "samples"


@pytest.fixture
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip(f"the recorded outputs of detectors are not beside this checkout ({SAMPLES})")
    return SAMPLES


def test_the_event_format_has_every_field() -> None:
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
def test_an_invalid_field_is_named(name: str, said: Any, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        read(name, said)
    assert caught.value.field == field
    assert caught.value.fix


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"7", b'"x"', b"[" * 5_000, b"[7]", b"null"])
def test_a_body_that_is_not_a_document_is_refused(name: str, body: bytes) -> None:
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
def test_adapters_raise_no_other_error_than_ours(name: str, said: dict[str, Any]) -> None:
    try:
        for event in read(name, json.dumps(said).encode()):
            assert event.note.isprintable()
            assert event.ignored.isprintable()
    except XdpctlError:
        pass


def test_an_unknown_detector_is_told_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="fastnetmon"):
        adapter("snort")


def bodies(folder: Path, pattern: str) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob(pattern)):
        yield path.name, json.loads(path.read_text())


def test_every_recorded_call_of_fastnetmon_is_read(samples: Path) -> None:
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


def test_every_recorded_body_of_other_detectors_is_read(samples: Path) -> None:
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


def test_the_schema_of_the_event_format_agrees_with_the_reader() -> None:
    path = ROOT / "docs" / "reference" / "event.schema.json"
    event = json.loads(path.read_text())["$defs"]["event"]
    assert event["properties"].keys() == native.KNOWN
    assert event["properties"]["phase"]["enum"] == [*Phase]
    assert event["properties"]["attack"]["enum"] == [*Attack]
    least = dict.fromkeys(event["required"], "ended")
    assert read("event", least)
    for missing in least:
        with pytest.raises(RuleError):
            read("event", {name: "ended" for name in least if name != missing})


def test_an_odd_item_does_not_affect_its_neighbours() -> None:
    block = {"metadata": {"mitigation": ["xdp_block_src"]}}
    good = [json.dumps(eve(src_ip=f"203.0.113.{n}", alert=block)) for n in range(1, 4)]
    odd = json.dumps({"event_type": "alert", "alert": block})
    events = read("suricata", "\n".join([good[0], odd, "{cut", *good[1:]]).encode())
    assert [bool(event.ignored) for event in events] == [False, True, True, False, False]
    assert "src_ip" in events[1].ignored
    ban = {**BAN, "duration": "4h"}
    events = read("crowdsec", {"new": [ban, {**ban, "value": "x" * 300}, 7, ban], "deleted": None})
    assert [bool(event.ignored) for event in events] == [False, True, True, False]


def test_an_event_has_a_name() -> None:
    with pytest.raises(RuleError, match="no id"):
        Event(phase=Phase.BEGAN, id="")
    assert Event(phase=Phase.ENDED, id="", group="sshd").group
