# SPDX-License-Identifier: GPL-2.0-or-later
"""A removal of the filter by somebody else is audited, counted and shown once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import ATTACHED, Api, running
from xdpctl.watch.loader_report import ACTION, TakenOff


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def _audited(api: Api) -> list[dict[str, Any]]:
    records = map(json.loads, api.controller.store.audit(0, 1000))
    return [record for record in records if record["action"] == ACTION]


def _watch(api: Api) -> TakenOff:
    return TakenOff(api.controller, api.context.loader.read)


def _says(api: Api, taken_off: int, pid: int | None = None) -> None:
    api.loader_says({"eth0": {**ATTACHED["eth0"], "taken_off": taken_off}}, pid)


def test_each_removal_is_audited_once_even_after_a_restart(api: Api) -> None:
    watch = _watch(api)
    watch.step()
    _says(api, 0)
    watch.step()
    assert not _audited(api)
    _says(api, 1)
    for _ in range(2):
        watch.step()
    assert len(_audited(api)) == 1
    assert _audited(api)[0]["subject"] == "eth0"
    again = _watch(api)
    again.step()
    assert len(_audited(api)) == 1, "it was audited before the restart"
    _says(api, 3)
    again.step()
    assert [record["detail"]["times"] for record in _audited(api)] == [1, 3]
    _says(api, 1, pid=4711)
    again.step()
    assert len(_audited(api)) == 3, "a new loader counts from 0"


def test_removals_are_in_the_metrics_and_shown_with_the_interface(api: Api) -> None:
    _says(api, 2)
    assert 'xdpctl_filter_taken_off_total{interface="eth0"} 2.0' in api.call("GET", "/metrics").text
    shown = api.call("GET", "/v1/interfaces").json()["interfaces"]["eth0"]
    assert shown["taken_off"] == 2


def test_without_a_report_nothing_is_claimed(api: Api) -> None:
    api.settings.loader_status.unlink()
    _watch(api).step()
    assert not _audited(api)
