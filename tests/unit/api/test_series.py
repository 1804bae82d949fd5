# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures over time over the API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.series import recorder as recording
from xdpctl.series.levels import Levels
from xdpctl.series.ring_file import Level


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    def small(folder: Path, columns: Any) -> Levels:
        return Levels(folder, columns, (Level(1, 600), Level(10, 600)))

    monkeypatch.setattr(recording, "Levels", small)
    with running(tmp_path) as api:
        yield api


def record(api: Api, seconds: int) -> None:
    for second in range(seconds):
        api.clock.advance(1.0)
        passed = Hits(1_000 * second, 60_000 * second)
        api.datapath.by_port = {"isp0": {Reason.NO_RULE: passed}}
        api.context.series.step(float(second))


def test_a_series_has_columns_of_averages_and_maxima(api: Api) -> None:
    record(api, 30)
    answer = api.call("GET", "/v1/series", params={"since": "10s"})
    found = answer.json()
    assert found["seconds"] == 1
    assert found["figures"].keys() == {"pass_packets", "drop_packets"}
    passed = found["figures"]["pass_packets"]
    assert passed["averages"] == [1_000.0] * 11
    assert passed["maxima"] == passed["averages"]
    assert found["since"].startswith("2023-11-14T22:13:40")


def test_a_series_has_a_limited_number_of_points_and_shows_gaps(api: Api) -> None:
    record(api, 30)
    query = {"since": "60s", "points": 6, "names": "no_rule_bits"}
    bits = api.call("GET", "/v1/series", params=query).json()["figures"]["no_rule_bits"]
    assert len(bits["averages"]) <= 6
    assert bits["averages"][0] is None
    assert bits["averages"][-1] == 480_000.0


def test_a_series_can_be_limited_to_one_interface(api: Api) -> None:
    record(api, 5)
    query = {"since": "2s", "interface": "isp0", "names": "pass_packets,driver_drops"}
    figures = api.call("GET", "/v1/series", params=query).json()["figures"]
    assert figures["pass_packets"]["averages"] == [1_000.0] * 3
    answer = api.call("GET", "/v1/series", params={"interface": "eth9"})
    assert "only of isp0" in problem(answer, 404, "not-found")["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"names": "passed"}, "names"),
        ({"names": ",".join(["rules"] * 17)}, "names"),
        ({"since": "500d"}, "since"),
        ({"since": "1m", "until": "2m"}, "since"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_bad_parameters_are_refused(api: Api, query: dict[str, str], field: str) -> None:
    record(api, 2)
    answer = api.call("GET", "/v1/series", params=query)
    assert problem(answer, 400, "bad-request")["field"] == field


def test_an_unknown_name_lists_the_known_ones(api: Api) -> None:
    record(api, 2)
    answer = api.call("GET", "/v1/series", params={"names": "passed"})
    assert "pass_packets" in problem(answer, 400, "bad-request")["fix"]


def test_without_a_recording_the_answer_says_why(api: Api, tmp_path: Path) -> None:
    answer = api.call("GET", "/v1/series")
    assert "series = true" in problem(answer, 404, "not-found")["detail"]
    (tmp_path / "control").mkdir(exist_ok=True)
    (api.settings.control_dir / "series").write_text("in the way")
    api.context.series.step(1.0)
    answer = api.call("GET", "/v1/series")
    assert "not recorded" in problem(answer, 404, "not-found")["detail"]
    assert any("not recorded" in each for each in api.context.health.warnings())


def test_what_is_usual_is_added_if_asked_for(api: Api) -> None:
    record(api, 30)
    figures = api.call("GET", "/v1/series", params={"since": "10s"}).json()["figures"]
    assert figures["pass_packets"]["usual_low"] is None
    query = {"since": "10s", "usual": True}
    passed = api.call("GET", "/v1/series", params=query).json()["figures"]["pass_packets"]
    assert passed["usual_low"] == passed["usual_high"] == [None] * 11, "no earlier day is known"
    answer = api.call("GET", "/v1/series", params={"since": "30d", "usual": True})
    assert problem(answer, 400, "bad-request")["field"] == "since"
