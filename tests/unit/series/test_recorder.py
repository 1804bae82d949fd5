# SPDX-License-Identifier: GPL-2.0-or-later
"""Recording of counters, and failures to record."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.model.match.components import TCP, UDP
from xdpctl.series import recorder as recording
from xdpctl.series.figures import OF_HOST, OF_INTERFACE, RATES
from xdpctl.series.levels import Levels
from xdpctl.series.recorder import HOST, SeriesRecorder
from xdpctl.series.ring_file import Level


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        recording, "Levels", lambda folder, columns: Levels(folder, columns, (Level(1, 60),))
    )


class Recorded:
    """A recorder on a fake kernel, with one step a second."""

    def __init__(
        self, folder: Path, held: Controller, clock: FakeClock, datapath: FakeDatapath
    ) -> None:
        self.clock, self.datapath = clock, datapath
        self.by_port: dict[str, dict[Reason, Hits]] = {}  # of further interfaces
        self.served = {TCP: 0.0, UDP: 0.0}
        self.recorder = SeriesRecorder(held, folder / "series", lambda: self.served)
        self.now = 0.0

    def step(self, seconds: float = 1.0, **packets: int) -> None:
        self.clock.advance(seconds)
        self.now += seconds
        counted = {Reason[name.upper()]: Hits(n, 100 * n) for name, n in packets.items()}
        self.datapath.by_port = {"isp0": counted, "lan0": counted, **self.by_port}
        self.recorder.step(self.now)

    def last(self, name: str, interface: str = HOST, back: int = 0) -> float:
        columns = OF_INTERFACE if interface else OF_HOST
        second = self.clock.unix - back
        found = self.recorder.series[interface].read(second, second, 10)
        return float(found.averages[-1, columns.index(name)])


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    clock, datapath = FakeClock(), FakeDatapath()
    with controller(tmp_path, datapath, clock) as held:
        yield Recorded(tmp_path, held, clock, datapath)


def test_rates_are_of_the_last_second(recorded: Recorded) -> None:
    recorded.step(no_rule=1_000, dropped=0)
    assert np.isnan(recorded.last("pass_packets"))
    recorded.step(no_rule=1_600, dropped=400)
    assert recorded.last("pass_packets") == 2 * 600
    assert recorded.last("pass_packets", "isp0") == 600
    assert recorded.last("drop_bits", "lan0") == 400 * 800
    assert recorded.last("no_rule_bits") == 2 * 600 * 800
    assert recorded.last("spoofed_packets") == 0.0


def test_a_late_step_fills_the_seconds_before_it(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    recorded.step(no_rule=100)
    recorded.step(3.0, no_rule=400)
    assert [recorded.last("pass_packets", back=back) for back in (0, 1, 2)] == [200.0] * 3
    recorded.step(30.0, no_rule=700)
    assert recorded.last("pass_packets") == 20.0
    assert np.isnan(recorded.last("pass_packets", back=10))


def test_a_counter_that_was_reset_gives_no_rate(recorded: Recorded) -> None:
    recorded.step(no_rule=5_000)
    recorded.step(no_rule=100)
    assert recorded.last("pass_packets") == 0.0


def test_two_steps_within_a_second_count_as_one(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    recorded.step(no_rule=100)
    recorded.step(0.0, no_rule=900)
    assert recorded.last("pass_packets") == 200.0


def test_gauges_are_recorded(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    assert recorded.last("rules") == 0
    assert len(OF_HOST) == len(set(OF_HOST))
    assert set(RATES) < set(OF_HOST)


def test_a_full_disk_is_reported_once_and_retried(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "series").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        recorded.step(no_rule=0)
        recorded.step(no_rule=1)
        recorded.step(70.0, no_rule=1)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert len(caplog.records) == 1
    assert "not recorded" in recorded.recorder.problem
    assert not recorded.recorder.series
    (tmp_path / "series").unlink()
    recorded.step(70.0, no_rule=1)
    assert recorded.recorder.problem == ""
    assert HOST in recorded.recorder.series


def test_after_the_stop_nothing_is_written(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    recorded.recorder.stop()
    recorded.step(no_rule=5)
    assert not recorded.recorder.series


def test_one_damaged_folder_stops_only_its_interface(recorded: Recorded, tmp_path: Path) -> None:
    (tmp_path / "series" / "interfaces").mkdir(parents=True)
    (tmp_path / "series" / "interfaces" / "isp0").write_text("in the way")
    recorded.step(no_rule=0)
    recorded.step(no_rule=100)
    assert recorded.last("pass_packets", "lan0") == 100.0
    assert recorded.last("pass_packets") == 200.0
    assert "isp0" in recorded.recorder.problem


def test_interfaces_that_come_and_go_cause_no_peaks(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    recorded.step(no_rule=100)
    recorded.by_port["tap7"] = {Reason.NO_RULE: Hits(10**9, 0)}
    recorded.step(no_rule=200)
    assert recorded.last("pass_packets") == 200.0
    del recorded.by_port["tap7"]
    recorded.step(no_rule=300)
    assert recorded.last("pass_packets") == 200.0
    assert "tap7" not in recorded.recorder.series


def test_with_too_many_interfaces_only_the_host_is_recorded(recorded: Recorded) -> None:
    recorded.by_port = {f"tap{n}": {} for n in range(80)}
    recorded.step(no_rule=0)
    assert HOST in recorded.recorder.series
    assert "one interface too many" in recorded.recorder.problem


def test_a_row_that_cannot_be_written_is_reported(recorded: Recorded) -> None:
    recorded.step(no_rule=0)
    recorded.recorder.series[HOST].close()
    recorded.step(no_rule=100)
    assert "cannot be written" in recorded.recorder.problem
    assert recorded.last("pass_packets", "isp0") == 100.0


def test_served_requests_are_recorded_every_second(recorded: Recorded) -> None:
    recorded.step()
    recorded.served = {TCP: 3.0, UDP: 40.0}
    recorded.step()
    assert (recorded.last("newcomers"), recorded.last("answers")) == (3, 40)
