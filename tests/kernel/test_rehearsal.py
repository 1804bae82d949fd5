# SPDX-License-Identifier: GPL-2.0-or-later
"""Replay of recordings through a separate filter: attacks, legitimate traffic, damaged files."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import dpkt
import pytest
from typer.testing import CliRunner

from tests.reference_signatures import Fields, fields
from tests.support import packets
from xdpctl.abi.constants import Reason
from xdpctl.base.net import pcap_reader
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.cli.app import app
from xdpctl.config.settings import Settings
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.errors import ConfigError, RecordingError
from xdpctl.lab.replay.replay import Rehearsal, Tally, rehearsing

pytestmark = pytest.mark.usefixtures("_able")
RULES = Path(__file__).parents[1] / "corpus_signatures.ndjson"
VICTIMS = {
    "dns-reflection": "227.213.154.241",
    "gre-ppp-fragments": "9.9.9.9",
    "http-webddos": "192.168.50.1",
    "ipv6-exthdr-ah-flood": "2001:db8:1::1",
    "tcp-syn-ecn-cwr-spoofed": "10.10.10.10",
    "tcp-syn-optack": "10.10.10.10",
    "tcp-syn-small": "198.51.100.5",
    "tcp-synack-reflection": "10.10.10.10",
    "udp-isakmp-amp": "10.10.10.10",
}
FLOWS = (1194, 50013)  # two that live inside tcp-synack-reflection
COVERAGE = 0.99


@pytest.fixture(scope="module")
def rehearsal(_able: None) -> Iterator[Rehearsal]:
    with rehearsing(Settings(), RULES) as (held, imported):
        assert (imported.rejected, imported.added) == (0, 11)
        yield held


def written(path: Path, frames: list[bytes], link: int = pcap_reader.ETHERNET) -> Path:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=link)
        for frame in frames:
            writer.writepkt(frame, 0)
    return path


def those(path: Path, wanted: Callable[[Fields], bool]) -> list[bytes]:
    """The IP packets of a recording that satisfy a condition."""
    found = []
    for frame, *_ in pcap_reader.packets(path, Skipped()):
        if frame[12:14] in (b"\x08\x00", b"\x86\xdd") and wanted(fields(frame)):
            found.append(frame)
    return found


def to(victim: str) -> Callable[[Fields], bool]:
    address = ip_address(victim).packed
    return lambda has: has["destination"] == address and has["destination_port"] not in FLOWS


@pytest.mark.parametrize("name", VICTIMS)
def test_every_attack_is_covered(
    corpus: Path, tmp_path: Path, rehearsal: Rehearsal, name: str
) -> None:
    attack = those(corpus / "attack" / f"{name}.pcap", to(VICTIMS[name]))
    tally = rehearsal.run(written(tmp_path / "attack.pcap", attack))
    assert tally.packets == len(attack) > 100
    assert tally.share >= COVERAGE


def test_packets_that_cannot_come_from_beyond_the_link_pass(
    corpus: Path, rehearsal: Rehearsal
) -> None:
    tally = rehearsal.run(corpus / "attack" / "icmpv6-rsmurf.pcap")
    assert tally.reasons == {Reason.NEVER_ROUTED: 1000}


def test_no_legitimate_recording_is_hit(corpus: Path, tmp_path: Path, rehearsal: Rehearsal) -> None:
    legit = sorted((corpus / "legit").glob("*.pcap*"))
    assert len(legit) == 18
    for path in legit:
        tally = rehearsal.run(path)
        assert tally.packets
        assert not tally.rules, path.name
    inside = corpus / "attack" / "tcp-synack-reflection.pcap"
    flows = those(inside, lambda has: has["destination_port"] in FLOWS)
    tally = rehearsal.run(written(tmp_path / "flows.pcap", flows))
    assert (tally.packets, tally.dropped) == (144, 0)


def run(rehearsal: Rehearsal, path: Path, frames: list[bytes], link: int) -> Tally:
    return rehearsal.run(written(path, frames, link))


def test_every_link_type_gets_the_same_verdict(tmp_path: Path, rehearsal: Rehearsal) -> None:
    frame = packets.ethernet(
        0x0800,
        packets.ipv4(packets.address("192.0.2.7"), packets.address("9.9.9.9"), b"x" * 60, 47),
    )
    path, packet = tmp_path / "x.pcap", frame[14:]
    kinds = {
        pcap_reader.ETHERNET: frame,
        pcap_reader.RAW: packet,
        pcap_reader.LINUX_SLL: bytes(14) + b"\x08\x00" + packet,
        pcap_reader.LINUX_SLL2: b"\x08\x00" + bytes(18) + packet,
    }
    for link, data in kinds.items():
        tally = run(rehearsal, path, [data] * 7, link)
        assert (tally.packets, tally.dropped, tally.reasons[Reason.MATCHED]) == (7, 7, 7), link
        ((reason, identity, text),) = tally.rules
        assert (reason, text) == (Reason.MATCHED, "dst 9.9.9.9 proto gre length 0-109")
        assert identity.startswith("m-")
    assert run(rehearsal, path, [bytes(40)] * 3, 147).skipped.links == 3


def test_truncated_and_long_frames_are_judged_by_the_bytes_that_are_there(
    tmp_path: Path, rehearsal: Rehearsal
) -> None:
    frame = packets.to_frame("192.0.2.7", "198.51.100.5")
    frames = [b"", frame[:13], frame[:20], frame, frame + bytes(60_000)]
    tally = run(rehearsal, tmp_path / "x.pcap", frames, pcap_reader.ETHERNET)
    assert tally.packets == 5
    assert tally.short == 2
    assert tally.reasons == {Reason.TRUNCATED: 3, Reason.NO_RULE: 2}


def test_a_rehearsal_reads_the_rules_from_a_copy_of_the_store(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    with pytest.raises(ConfigError, match="there is no store"), rehearsing(settings, None):
        pass
    settings.control_dir.mkdir()
    with closing(SqliteStore(settings.database)) as store:
        match = '{"source":"192.0.2.7/32"}'
        rule = f'{{"match":{match},"action":"drop","mode":"enforce","origin":"operator",'
        store.write({"rules/192.0.2.7_32": (rule + '"created_at":0}').encode()})
        before = settings.database.read_bytes()
        path = written(tmp_path / "x.pcap", [packets.to_frame("192.0.2.7")] * 5)
        with rehearsing(settings, None) as (held, _):
            tally = held.run(path)
        assert tally.rules == {(Reason.DROPPED, "192.0.2.7_32", "src 192.0.2.7/32"): 5}
        assert settings.database.read_bytes() == before


def test_the_command_says_what_was_missed_and_exits_1(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text('{"match": {"protocol": "udp", "destination_port": "53"}}\n')
    attack = written(tmp_path / "a.pcap", [packets.to_frame("192.0.2.7")] * 9)
    arp = packets.ethernet(0x0806, bytes(46))
    normal = written(tmp_path / "n.pcap", [arp, arp, packets.to_frame("192.0.2.8")])
    command = ["replay", str(attack), "--normal", str(normal), "--rules", str(rules)]
    said = CliRunner().invoke(app, [*command, "--min-coverage", "100", "--json"])
    assert said.exit_code == 0, said.output
    told = {r["kind"]: r for r in json.loads(said.stdout)["recordings"]}
    assert (told["attack"]["packets"], told["attack"]["dropped_share"]) == (9, 1.0)
    assert told["normal"]["reasons"] == {"link": 2, "matched": 1}
    said = CliRunner().invoke(app, [*command, "--max-collateral", "30"])
    assert said.exit_code == 1
    assert "33.33% is dropped, at most 30% is allowed" in said.output
    assert "coverage 100.00%" in said.output


def test_a_limit_without_a_clock_reports_the_packets_that_it_would_apply_to(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    limit = {"pps": 5, "per": "source"}
    line = {"match": {"protocol": "udp"}, "action": "limit", "limit": limit}
    rules.write_text(json.dumps(line))
    frames = [packets.to_frame(f"192.0.2.{n}") for n in range(1, 24)]
    with rehearsing(Settings(), rules, by_clock=False) as (held, _):
        tally = held.run(written(tmp_path / "x.pcap", frames))
    assert tally.reasons == {Reason.LIMITED: 23}


def test_a_rehearsal_leaves_nothing_behind() -> None:
    before = Path("/proc/self/mounts").read_text().count("xdpctl-replay")
    with rehearsing(Settings(), RULES):
        pass
    assert Path("/proc/self/mounts").read_text().count("xdpctl-replay") == before


def test_a_csv_list_is_read_as_import_reads_it(tmp_path: Path) -> None:
    rules = tmp_path / "rules.csv"
    rules.write_text("source,action\n192.0.2.0/24,accept\n192.0.0.0/16,drop\n")
    path = written(tmp_path / "x.pcap", [packets.to_frame(s) for s in ("192.0.2.7", "192.0.3.7")])
    with rehearsing(Settings(), rules) as (held, imported):
        assert (imported.added, imported.rejected) == (2, 0)
        assert held.run(path).reasons == {Reason.ACCEPTED: 1, Reason.DROPPED: 1}


def test_a_recording_without_packets_fails_the_check(tmp_path: Path) -> None:
    rules, empty = tmp_path / "rules", written(tmp_path / "e.pcap", [])
    rules.write_text("192.0.2.7")
    (tmp_path / "bad.pcap").write_text("no recording")
    good = written(tmp_path / "a.pcap", [packets.to_frame("192.0.2.7")])
    command = ["replay", str(good), "--rules", str(rules)]
    for more, says in (
        (["--normal", str(empty), "--max-collateral", "0"], "it contains no packets"),
        (["--normal", str(tmp_path / "bad.pcap")], "neither pcap nor pcapng"),
    ):
        said = CliRunner().invoke(app, [*command, *more])
        assert said.exit_code == 1
        assert says in said.output
        assert "coverage 100.00%" in said.output, "what was done is told"
    assert CliRunner().invoke(app, [*command, "--max-collateral", "0"]).exit_code == 2


def test_a_long_recording_on_several_cpus_gives_the_same_result(
    tmp_path: Path, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked = packets.ethernet(
        0x0800,
        packets.ipv4(packets.address("192.0.2.7"), packets.address("9.9.9.9"), b"x" * 60, 47),
    )
    frames = [attacked, b"", packets.to_frame("192.0.2.8"), attacked[:-9]] * 700
    path = written(tmp_path / "x.pcap", frames)
    with path.open("ab") as file:
        file.write(b"cut off")
    alone = rehearsal.run(path)
    assert (alone.packets, alone.short, alone.skipped.tail) == (2_800, 700, True)
    monkeypatch.setattr("xdpctl.lab.replay.run.ALONE_BYTES", 0)
    assert rehearsal.run(path) == alone
    with pytest.raises(RecordingError, match="neither pcap nor pcapng"):
        rehearsal.run(Path(__file__))
