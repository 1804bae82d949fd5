# SPDX-License-Identifier: GPL-2.0-or-later
"""Detectors' reports are stored verbatim, and stored sources have a degree of certainty."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem
from tests.support.hooked import VICTIM, event, fastnetmon, say
from tests.unit.cli.test_cli import Api as Client
from tests.unit.cli.test_cli import Run, api, run
from xdpctl.base.clock import Clock
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import adjtimex
from xdpctl.incidents import files, report

__all__ = ["api", "run"]


def kept(box: Api, identity: str) -> list[dict[str, Any]]:
    answer = box.call("GET", f"/v1/incidents/{identity}/said")
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_report_of_an_attack_is_kept_to_its_end(box: Api) -> None:
    said = [fastnetmon("ban"), fastnetmon("ban"), fastnetmon("unban")]
    told = [say(box, "fastnetmon", one) for one in said]
    assert len({tuple(one["incidents"]) for one in told}) == 1
    found = kept(box, told[0]["incidents"][0])
    assert [json.loads(one["body"]) for one in found] == said
    assert {one["detector"] for one in found} == {"fastnetmon"}
    assert found[0]["at"] == box.clock.unix
    answer = box.call("GET", f"/v1/incidents/{told[0]['incidents'][0]}/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("said.ndjson").decode().count("\n") == 3


def test_dry_runs_and_ignored_events_keep_no_report(box: Api) -> None:
    say(box, "fastnetmon", fastnetmon("ban"), params={"dry_run": True})
    say(box, "event", event("1", victim="192.0.2.1"))
    folder = box.context.files.words("x").parent
    assert not list(folder.glob("*.ndjson"))


def test_missing_reports_are_404(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    box.context.files.words(identity).unlink()
    problem(box.call("GET", f"/v1/incidents/{identity}/said"), 404, "not-found")


def test_a_full_disk_does_not_prevent_mitigation(
    box: Api, caplog: pytest.LogCaptureFixture
) -> None:
    folder = box.context.files.words("x").parent
    folder.write_text("in the way")
    said = say(box, "event", event("1", victim=VICTIM, attack="udp_flood"))
    assert len(said["rules"]) == 1
    assert "the report of event was not stored" in caplog.text


def test_reports_are_bounded_in_length_and_number(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    assert files.keep(path, 1.0, "event", b"\xff" + b"x" * (1 << 20))
    (line,) = path.read_text().splitlines()
    one = json.loads(line)
    assert (one["cut"], len(one["body"]), one["body"][:2]) == (True, 65536, "\ufffdx")
    taken = sum(files.keep(path, 1.0, "event", b"x" * 65536) for _ in range(40))
    assert 10 < taken < 20
    assert path.stat().st_size < 2 << 20


@pytest.mark.parametrize(
    ("connected", "inside", "says"),
    [
        (True, False, "verified"),
        (False, False, "possibly spoofed"),
        (True, True, "verified, inside"),
        (False, True, "possibly spoofed, inside"),
    ],
)
def test_a_source_address_has_a_degree_of_certainty(
    connected: bool, inside: bool, says: str
) -> None:
    assert report.standing({"connected": connected, "inside": inside}) == says


@pytest.mark.parametrize(
    ("error", "says"), [(0.0032, "synchronised (NTP), within 3 ms"), (None, "was not synchronised")]
)
def test_a_record_has_the_accuracy_of_its_clock(box: Api, error: float | None, says: str) -> None:
    box.clock.error = error
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    held = box.call("GET", f"/v1/incidents/{identity}").json()
    assert held["clock_error"] == error
    assert report.facts(held)["clock"].startswith(says)


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    error = adjtimex.error()
    assert error is None or 0 <= error < 3600
    assert Clock().read().error in (error, adjtimex.error())


def test_configured_and_protected_networks_count_as_ours(box: Api) -> None:
    assert box.context.ours(parse_prefix("198.51.100.7"))
    assert not box.context.ours(parse_prefix("203.0.113.7"))


def test_the_command_prints_the_kept_reports(api: Client, run: Run) -> None:
    api.answers["GET", "/v1/incidents/1/said"] = b'{"body": "x"}\n'
    assert run("incident", "export", "1", "--only", "said", "-w", "-")[:2] == (0, '{"body": "x"}\n')
