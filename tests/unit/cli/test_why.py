# SPDX-License-Identifier: GPL-2.0-or-later
"""`why` of an address, a rule, a frame in hex, and a packet of a recording."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support import packets
from tests.unit.base.test_pcap_reader import block, classic, enhanced, interface, section
from tests.unit.cli.test_cli import RULE, Api, Run, api, run
from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.packets import source_of, summary
from xdpctl.base.net.pcap_reader import ETHERNET, RAW
from xdpctl.base.net.prefix import parse_address
from xdpctl.model.match import text
from xdpctl.model.match.evaluate import takes

__all__ = ["api", "run"]
FRAMES = [packets.to_frame("203.0.113.7"), packets.to_frame("2001:db8::7"), packets.four()]


def asked(api: Api) -> Any:
    ((_, _, more),) = api.calls
    return more["params"]


@pytest.fixture(autouse=True)
def answer(api: Api) -> None:
    lists = dict.fromkeys(("monitored", "within", "behind", "could_hit", "monitored_sets"), ())
    none = dict.fromkeys(("rule", "set", "protected_by"))
    said = {"verdict": "pass", "reason": "no_rule", "frame": FRAMES[0].hex(), **none, **lists}
    api.answers["GET", "/v1/explain"] = said


def recording(tmp_path: Path, link: int = ETHERNET) -> str:
    path = tmp_path / "x.pcap"
    path.write_bytes(classic("<", 0xA1B2C3D4, link, [(f, len(f)) for f in FRAMES]))
    return str(path)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_packet_of_a_recording_is_sent_whole(
    api: Api, run: Run, tmp_path: Path, number: int
) -> None:
    code, out, _ = run("why", "--pcap", recording(tmp_path), "--packet", str(number))
    assert (code, asked(api)) == (0, {"frame": FRAMES[number - 1].hex()})
    assert out.startswith("203.0.113.7:40000 > 198.51.100.7:53 udp: pass, no rule")
    shown = out.splitlines()[-1].removeprefix("its match: ")
    packet = fields(FRAMES[0])
    assert packet
    assert takes(text.parse(shown), packet), "it can be given to --match as it is"


def test_packets_of_a_recording_are_numbered_from_1(api: Api, run: Run, tmp_path: Path) -> None:
    links = section("<") + interface("<", 147) + interface("<", ETHERNET)
    other, ours = enhanced("<", 0, b"abcd", 4), enhanced("<", 1, FRAMES[2], 1500)
    path = tmp_path / "x.pcapng"
    path.write_bytes(links + other + ours + block("<", 5, bytes(8)) + other)
    code, _, err = run("why", "--pcap", str(path), "--packet", "2")
    assert (code, asked(api)) == (0, {"frame": FRAMES[2].hex()})
    assert "1,500 bytes" in err
    for number, word in (("1", "neither Ethernet nor IP"), ("4", "no packet 4, only 3")):
        code, _, err = run("why", "--pcap", str(path), "--packet", number)
        assert (code, word in " ".join(err.replace("│", "").split())) == (2, True), err


def test_a_frame_that_is_too_long_is_cut(api: Api, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    frame = packets.four(bytes(8000))
    path.write_bytes(classic("<", 0xA1B2C3D4, ETHERNET, [(frame, len(frame))]))
    assert run("why", "--pcap", str(path))[0] == 0
    assert asked(api) == {"frame": frame[:3000].hex()}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ([], 2, "--pcap"),
        (["203.0.113.7", "--frame", "00"], 2, "exactly one of"),
        (["--pcap", "/nowhere"], 1, "No such file"),
        (["--pcap", "README.md"], 1, "neither pcap nor pcapng"),
        (["--pcap", "README.md", "--packet", "0"], 2, "--packet"),
    ],
)
def test_wrong_usage_names_the_right_one(
    run: Run, arguments: list[str], code: int, word: str
) -> None:
    ended, _, err = run("why", *arguments)
    assert (ended, word in err) == (code, True), err


def test_a_frame_in_hex_is_passed_on(api: Api, run: Run) -> None:
    assert run("why", "--frame", FRAMES[1].hex())[0] == 0
    assert asked(api) == {"frame": FRAMES[1].hex()}


@pytest.mark.parametrize("tags", [(), (0x8100,), (0x88A8, 0x8100)])
@pytest.mark.parametrize("source", ["203.0.113.7", "2001:db8::7"])
def test_the_source_is_read_from_the_frame(source: str, tags: tuple[int, ...]) -> None:
    frame = packets.tagged(packets.to_frame(source), tags)
    assert source_of(frame) == parse_address(source, "source")
    assert source in summary(frame)
    assert source_of(frame[:20]) is None
    assert source_of(packets.ethernet(0x0806, bytes(46))) is None


def test_raw_ip_becomes_a_frame(api: Api, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(classic("<", 0xA1B2C3D4, RAW, [(FRAMES[0][14:], len(FRAMES[0]) - 14)]))
    assert run("why", "--pcap", str(path))[0] == 0
    assert asked(api) == {"frame": (bytes(12) + struct.pack(">H", 0x0800) + FRAMES[0][14:]).hex()}


PLACE: dict[str, Any] = {
    **{"address": "45.0.0.7", "country": "DE", "asn": 64500, "as_name": "Example [/AS] Ltd"},
    **{"network": "45.0.0.0/16", "database": "of a test", "covering": []},
    **{"sentence": "Nothing here keeps 45.0.0.7 out.", "answers": [], "could_hit": [], "sends": []},
}


def covering(prefix: str, **whose: Any) -> dict[str, Any]:
    nobody = {"rule": None, "set": None, "protected": None, "applied": True, "out": False}
    return {"prefix": prefix, "action": "drop", "mode": "enforce", **nobody, **whose}


def test_an_address_has_a_sentence_its_place_and_all_entries_that_cover_it(
    api: Api, run: Run
) -> None:
    entries = [
        covering("45.0.0.7/32", rule="45.0.0.7_32"),
        covering("45.0.0.0/24", set="bad", mode="monitor"),
        covering("45.0.0.0/8", protected="configured", action="accept"),
        covering("45.0.0.0/7", set="bad", applied=False),
    ]
    api.answers["GET", "/v1/why/45.0.0.7"] = {**PLACE, "covering": entries}
    _, out, _ = run("why", "45.0.0.7")
    assert out.startswith("Nothing here keeps 45.0.0.7 out.\n")
    for shown in ("DE", "45.0.0.0/16", "AS64500 Example [/AS] Ltd"):
        assert shown in out
    lines = [line.split() for line in out.splitlines()[-4:]]
    assert lines[0] == ["45.0.0.7/32", "drop,", "enforce,", "rule", "45.0.0.7_32"]
    assert lines[1] == ["45.0.0.0/24", "drop,", "monitor,", "set", "bad"]
    assert lines[2] == ["45.0.0.0/8", "protected:", "configured"]
    assert " ".join(lines[3][1:]) == "drop, enforce, set bad (not applied: protected)"
    assert json.loads(run("why", "45.0.0.7", "--json")[1])["covering"] == entries


def test_an_address_that_is_kept_out_shows_what_decides_and_how_to_let_it_in(
    api: Api, run: Run
) -> None:
    one = {"verdict": "drop", "reason": "dropped", "rule": RULE, "set": None, "incident": "2026"}
    hosts = [f"192.0.2.{n}" for n in range(6)]
    answers = [
        {"services": ["web", "mail"], "to": hosts, **one},
        {"services": ["ping"], "to": hosts[:1], **one, "verdict": "pass", "rule": None},
    ]
    found = {**PLACE, "answers": answers, "could_hit": [RULE], "sends": ["it is <limited>"]}
    api.answers["GET", "/v1/why/45.0.0.7"] = found
    out = run("why", "45.0.0.7")[1]
    first, second, third, fourth = out.splitlines()[1:5]
    assert first.startswith(
        "  web, mail to 192.0.2.0, 192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more: drop"
    )
    assert "incident 2026" in first
    assert second.startswith("  ping to 192.0.2.0: pass")
    assert third.startswith("  other packets may meet drop ")
    assert fourth == "  it is <limited>"
    assert out.endswith("to let it in: xdpctl release 45.0.0.7 --for 1h\n")


def test_an_address_without_any_entry_or_database_is_told_so(api: Api, run: Run) -> None:
    unknown = dict.fromkeys(("country", "asn", "as_name", "network"))
    api.answers["GET", "/v1/why/::1"] = {**PLACE, **unknown, "address": "::1", "answers": None}
    out = run("why", "::1")[1]
    assert [line.split()[-1] for line in out.splitlines()[1:4]] == ["-", "-", "-"]
    assert "protected prefix covers it" in out
    api.answers["GET", "/v1/why/::1"] = {**PLACE, **unknown, "database": None}
    assert "install libloc-database" in run("why", "::1")[1]
