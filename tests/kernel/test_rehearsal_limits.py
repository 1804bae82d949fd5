# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals of limits by the recording's clock, compared with GCRA in Python."""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.kernel.conftest import filtering
from tests.reference_signatures import Bucket
from tests.support import packets
from tests.support.recordings import Sent, recorded
from xdpctl.abi.constants import Reason
from xdpctl.base.net.pcapng_writer import Writer
from xdpctl.cli.app import app
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.lab.replay.replay import Clocked, Tally, rehearsing

pytestmark = pytest.mark.usefixtures("_able")
SECOND = 10**9
START = 1_700_000_000 * SECOND
FRAME = packets.to_frame("192.0.2.7")


def steady(pps: int, seconds: int, start: int = START) -> list[Sent]:
    gap = SECOND // pps
    return [(start + n * gap, "192.0.2.7", len(FRAME)) for n in range(pps * seconds)]


def limited(path: Path, **limit: object) -> Path:
    line = {"match": {"protocol": "udp"}, "action": "limit", "limit": limit}
    path.write_text(json.dumps(line))
    return path


def rehearsed(rehearsals: Settings, sent: Iterable[Sent], **limit: object) -> Tally:
    """Replay twice, because each recording must begin with empty buckets."""
    path = recorded(rehearsals.state_dir / "x.pcapng", sent)
    with rehearsing(rehearsals, limited(rehearsals.state_dir / "rules", **limit)) as (
        held,
        imported,
    ):
        assert (imported.rejected, held.limits) == (0, Clocked.RECORDING)
        first, second = held.run(path), held.run(path)
    assert first == second
    return first


def too_fast(
    sent: Iterable[Sent],
    bucket: Callable[[], Bucket],
    key: Callable[[str], str] = lambda _: "",
    by_bytes: bool = False,
) -> int:
    """The packets that GCRA drops, over the recording's times."""
    buckets: defaultdict[str, Bucket] = defaultdict(bucket)
    return sum(
        buckets[key(source)].over(unix_ns, length if by_bytes else 1)
        for unix_ns, source, length in sent
    )


def irregular(count: int) -> list[Sent]:
    rng = random.Random(29)
    unix_ns, found = START, []
    for _ in range(count):
        unix_ns += int(rng.expovariate(1 / 3_000_000))
        source = f"192.0.{rng.choice((2, 2, 2, 3))}.{rng.randrange(1, 4)}"
        found.append((unix_ns, source, rng.randrange(60, 1515)))
    return found


def test_ten_times_the_rate_is_cut_to_the_rate(rehearsals: Settings) -> None:
    sent = steady(970, 3)
    tally = rehearsed(rehearsals, sent, pps=97)
    dropped = too_fast(sent, lambda: Bucket(Fraction(SECOND, 97), SECOND // 10))
    assert 0 < tally.packets - dropped <= 97 * 3 + 97 // 10 + 2
    assert tally.reasons == {Reason.LIMITED: dropped, Reason.NO_RULE: 2910 - dropped}
    assert tally.dropped == dropped
    ((reason, _, text),) = tally.rules
    assert (reason, text) == (Reason.LIMITED, "proto udp")


def test_packets_within_the_rate_pass(rehearsals: Settings) -> None:
    tally = rehearsed(rehearsals, steady(97, 3), pps=98)
    assert tally.reasons == {Reason.NO_RULE: 291}


@pytest.mark.parametrize("burst", [0.05, 0.5])
def test_a_limit_on_irregular_packets_agrees_with_gcra(rehearsals: Settings, burst: float) -> None:
    sent = irregular(3000)
    tally = rehearsed(rehearsals, sent, pps=200, burst=burst)
    bucket = Bucket(Fraction(SECOND, 200), int(burst * SECOND))
    assert tally.reasons[Reason.LIMITED] == too_fast(sent, lambda: bucket) > 0


def test_each_source_has_its_own_limit(rehearsals: Settings) -> None:
    sent = irregular(3000)
    made = partial(Bucket, Fraction(SECOND, 50), SECOND // 10)
    tally = rehearsed(rehearsals, sent, pps=50, per="source")
    assert tally.reasons[Reason.LIMITED] == too_fast(sent, made, lambda source: source) > 0
    tally = rehearsed(rehearsals, sent, pps=50, per="source/24")
    expected = too_fast(sent, made, lambda source: source.rpartition(".")[0])
    assert tally.reasons[Reason.LIMITED] == expected > 0


def test_a_bit_rate_counts_the_length_on_the_wire(rehearsals: Settings) -> None:
    """The recording has the first 60 bytes of each packet."""
    sent = irregular(3000)
    tally = rehearsed(rehearsals, sent, bps=800_000)
    bucket = Bucket(Fraction(8 * SECOND, 800_000), SECOND // 10)
    assert tally.reasons[Reason.LIMITED] == too_fast(sent, lambda: bucket, by_bytes=True) > 0
    assert tally.skipped.cut > 2900


def test_a_recordings_clock_that_is_set_back_does_not_stall_a_limit(rehearsals: Settings) -> None:
    """The clock is set back by an hour after one second; for the limit only two seconds pass."""
    sent = [*steady(100, 1), *steady(100, 1, START - 3600 * SECOND)]
    tally = rehearsed(rehearsals, sent, pps=50)
    goes_on = [*steady(100, 1), *steady(100, 1, START + 99 * SECOND // 100)]
    bucket = Bucket(Fraction(SECOND, 50), SECOND // 10)
    assert tally.reasons[Reason.LIMITED] == too_fast(goes_on, lambda: bucket)
    assert (tally.clock.set_back, tally.clock.late) == (1, 1)


def test_packets_that_are_a_little_late_count_at_the_latest_time(rehearsals: Settings) -> None:
    times = [START + n * 10_000_000 - (n % 3) * 15_000_000 for n in range(600)]
    tally = rehearsed(rehearsals, [(ns, "192.0.2.7", 60) for ns in times], pps=50)
    latest = [(max(times[: n + 1]), "192.0.2.7", 60) for n in range(600)]
    bucket = Bucket(Fraction(SECOND, 50), SECOND // 10)
    assert tally.reasons[Reason.LIMITED] == too_fast(latest, lambda: bucket) > 0
    assert (tally.clock.set_back, tally.clock.late) == (
        0,
        sum(a > b for (a, *_), b in zip(latest, times, strict=True)),
    )


def test_without_times_a_limit_lets_its_burst_pass(rehearsals: Settings) -> None:
    tally = rehearsed(rehearsals, [(0, "192.0.2.7", 60)] * 230, pps=100)
    assert tally.reasons == {Reason.NO_RULE: 11, Reason.LIMITED: 219}
    assert tally.clock.timeless == 230


def test_dhcp_replies_have_their_rate_by_the_recordings_clock(
    tmp_path: Path, rehearsals: Settings
) -> None:
    """A drop lets 100 replies a second pass, 50 at once."""
    reply = packets.udp(67, 68, b"\x02" + bytes(235) + bytes.fromhex("63825363") + bytes(60))
    frame = packets.ethernet(
        0x0800, packets.ipv4(packets.address("192.0.2.7"), packets.address("198.51.100.7"), reply)
    )
    (tmp_path / "rules").write_text(
        '192.0.2.7\n{"match": {"protocol": "tcp"}, "action": "limit", "limit": {"pps": 9}}'
    )
    with (tmp_path / "x.pcapng").open("wb") as file:
        writer = Writer(file)
        times = [START + n * SECOND // 1000 for n in range(1000)]
        for unix_ns in times:
            writer.packet("eth0", unix_ns, frame, len(frame))
    with rehearsing(rehearsals, tmp_path / "rules") as (held, imported):
        assert imported.rejected == 0
        tally = held.run(tmp_path / "x.pcapng")
    bucket = Bucket(Fraction(SECOND, 100), SECOND // 2)
    dropped = sum(bucket.over(unix_ns) for unix_ns in times)
    assert tally.reasons == {Reason.DHCP: 1000 - dropped, Reason.DROPPED: dropped}


def test_rules_do_not_expire_in_a_rehearsal(
    tmp_path: Path, rehearsals: Settings, compiled_for_rehearsal: Compiled
) -> None:
    """Neither a long recording nor a clock that is ahead makes a rule expire."""
    with filtering(tmp_path, compiled_for_rehearsal) as rehearsal:
        rehearsal.hold("expired 192.0.2.0/24")
        assert rehearsal.explain(FRAME) == "DROPPED"
    (tmp_path / "rules").write_text('{"match": {"source": "192.0.2.7"}, "ttl": "1h"}\n')
    far = [(START * 5, "192.0.2.7", 60), (START * 5 + 86_400 * SECOND, "192.0.2.7", 60)]
    with rehearsing(rehearsals, tmp_path / "rules") as (held, _):
        tally = held.run(recorded(tmp_path / "x.pcapng", far))
    assert tally.reasons == {Reason.DROPPED: 2}


def told(*arguments: object) -> Any:
    said = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.output


def test_the_command_says_by_which_clock_and_what_was_protected(
    tmp_path: Path, rehearsals: Settings
) -> None:
    rules, config = limited(tmp_path / "rules", pps=50), tmp_path / "x.toml"
    config.write_text('protected = ["192.0.2.0/24"]\n')
    sent = [*steady(100, 1), (START, "203.0.113.7", 60), *steady(100, 1, START + SECOND)]
    path = recorded(tmp_path / "x.pcapng", [*sent, (0, "203.0.113.7", 60)])
    given = (path, "--rules", rules, "--config", config, "--state-dir", rehearsals.state_dir)
    said = told(*given)
    assert "prefixes are protected, found by replay on this host" in said
    assert "limits go by the recording's clock" in said
    assert "200 passed because their source is protected" in said
    assert "note: 1 packets late by up to a second" in said
    assert "note: 1 packets without a time" in said
    said = told(*given, "--no-protect", "--no-clock")
    assert "nothing is protected" in said
    assert "202  limited" in said
    assert "every packet that a limit matches counts as too fast" in said
    found = json.loads(told(*given, "--no-protect", "--json"))
    assert (found["protected"], found["found_by"], found["limits"]) == (0, "", "recording")
    (report,) = found["recordings"]
    assert (report["late"], report["set_back"], report["timeless"]) == (1, 0, 1)
    assert report["reasons"]["limited"] == report["dropped"] > 0
    assert json.loads(told(*given, "--outside", "--json"))["outside"] is True
