# SPDX-License-Identifier: GPL-2.0-or-later
"""`replay --detect`: what the detector would have done about a recording, judged by the truth."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.detection.frames import frames
from bench.detection.made import ATTACKS, legitimate
from xdpctl.cli.app import app
from xdpctl.traffic.packets import PacketArray

RANDOM = np.random.default_rng(5)
MAC = "02:00:00:00:00:01"


def pcap(path: Path, timed: list[tuple[float, bytes]]) -> Path:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, frame in timed:
            seconds, micros = divmod(round(at * 1e6), 10**6)
            file.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)
    return path


def over(packets: PacketArray, begin: float, end: float) -> list[tuple[float, bytes]]:
    times = np.linspace(begin, end, len(packets), endpoint=False) + 1.7e9
    return list(zip(times.tolist(), frames(packets, MAC), strict=True))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`normal`: people alone; `mixed`: people, and for a second an NTP amplification."""
    folder = tmp_path_factory.mktemp("recordings")
    pcap(folder / "normal.pcap", over(legitimate(RANDOM, 12_000), 0, 12))
    people, flood = legitimate(RANDOM, 3_000), ATTACKS["NTP monlist"](RANDOM, 25_000)
    both = [(at, frame, "legit") for at, frame in over(people, 0, 3)]
    both += [(at, frame, "attack") for at, frame in over(flood, 1, 2)]
    both.sort()
    pcap(folder / "mixed.pcap", [(at, frame) for at, frame, _ in both])
    (folder / "truth").write_text("".join(f"{word} {n}\n" for n, (_, _, word) in enumerate(both)))
    (folder / "xdpctl.toml").write_text('protected = ["192.0.2.0/24"]\n')
    return folder


def replay(folder: Path, *words: str, code: int = 0) -> Any:
    given = ["replay", "mixed.pcap", "--detect", "--config", "xdpctl.toml", "--json", *words]
    paths = [str(folder / word) if (folder / word).is_file() else word for word in given]
    done = CliRunner().invoke(app, paths)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code == 0 else done.output


def test_a_flood_is_dropped_and_nobody_is_hit(recordings: Path) -> None:
    found = replay(recordings, "--normal", "normal.pcap", "--truth", "truth")
    (done,) = found["recordings"]
    assert found["protected"] == ["192.0.2.0/24"]
    attack, legit = done["truth"]["attack"], done["truth"]["legit"]
    assert (attack["packets"], legit["packets"]) == (25_000, 3_000)
    assert attack["outcomes"]["no_rule"] / 25_000 < 0.1
    assert legit["outcomes"]["no_rule"] / 3_000 > 0.98, "a limit stood for a moment"
    assert 0 < done["first_mitigation_after"] <= 0.1
    assert done["first_mitigation_after"] < done["first_drop_after"] <= 0.3
    answer = next(each for each in done["reports"] if each["action"] == "drop")
    assert "src-port 123" in answer["match"]
    assert answer["finding"]["because"]
    assert sum(each["packets"] for each in done["legitimate"].values()) == 3_000


def test_normal_traffic_is_left_alone(recordings: Path) -> None:
    given = ["replay", str(recordings / "normal.pcap"), "--detect", "--json"]
    given += ["--normal", str(recordings / "normal.pcap")]
    given += ["--config", str(recordings / "xdpctl.toml")]
    done = json.loads(CliRunner().invoke(app, given).stdout)
    assert done["recordings"][0]["reports"] == []


def test_without_normal_traffic_it_limits(recordings: Path) -> None:
    (done,) = replay(recordings, "--truth", "truth")["recordings"]
    assert {answer["action"] for answer in done["reports"]} == {"limit"}


def test_the_result_is_printed_for_people(recordings: Path) -> None:
    given = ["replay", str(recordings / "mixed.pcap"), "--detect"]
    given += ["--config", str(recordings / "xdpctl.toml"), "--truth", str(recordings / "truth")]
    said = CliRunner().invoke(app, given).stdout
    assert "without --normal" in said
    assert "attack: " in said
    assert "25,000 packets kept out" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("truth", "said"),
    [("attack\n", "fewer lines"), ("nonsense\n" * 28_000, "line 1: begins with 'nonsense'"),
     ("", "fewer lines")],
)  # fmt: skip
def test_an_invalid_truth_file_is_refused(
    recordings: Path, tmp_path: Path, truth: str, said: str
) -> None:
    (tmp_path / "t").write_text(truth)
    assert said in replay(recordings, "--truth", str(tmp_path / "t"), code=1)


def test_options_that_do_not_go_together_are_refused(recordings: Path) -> None:
    mixed = str(recordings / "mixed.pcap")
    runner = CliRunner()
    without = runner.invoke(app, ["replay", mixed, "--truth", mixed])
    assert without.exit_code == 2
    rules = runner.invoke(app, ["replay", mixed, "--detect", "--min-coverage", "95"])
    assert rules.exit_code == 2
    two = ["replay", mixed, mixed, "--detect", "--truth", str(recordings / "truth")]
    assert runner.invoke(app, two).exit_code == 2
