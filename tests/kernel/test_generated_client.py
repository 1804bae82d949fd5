# SPDX-License-Identifier: GPL-2.0-or-later
"""A client generated from the OpenAPI document, against a control plane over the loaded program."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import controller
from tests.support.generated import Generated
from tests.support.served import served
from xdpctl.base.clock import Clock
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.lists.refresher import Refresher
from xdpctl.lists.source import Limits, ListSource
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.app import create_app


@pytest.fixture
def generated(tmp_path: Path) -> Generated:
    folder = tmp_path / "kernel"
    folder.mkdir()
    return Generated(folder)


@pytest.fixture
def client(
    tmp_path: Path, loader: Loader, datapath: PinnedDatapath, generated: Generated
) -> Iterator[Any]:
    """A client on the Unix socket, as root."""
    loader.explain.add()
    settings = Settings(state_dir=tmp_path)
    settings.control_dir.mkdir()
    with controller(tmp_path, datapath, Clock()) as control:
        limits = Limits(settings.bulk_max_bytes, 10_000)
        refresher = Refresher(control, ListSource(settings.feeds, limits))
        app = create_app(ControlPlane(control, settings, refresher))
        with served(app, tmp_path) as doors, generated.local(doors.local) as client:
            yield client


def test_rules_and_sets_from_a_generated_client_decide_packets(
    client: Any, generated: Generated
) -> None:
    assert generated.explain(client, "203.0.113.7").reason == "no_rule"
    rule = generated.add(client, "203.0.113.0/24")
    assert rule.in_kernel
    assert generated.put(client, "bad", "198.51.100.7").applied.ipv4 == 1
    told = generated.explain(client, "203.0.113.7")
    assert (told.verdict, told.reason, told.rule.id) == ("drop", "dropped", rule.id)
    told = generated.explain(client, "198.51.100.7")
    assert (told.verdict, told.reason, told.set_) == ("drop", "dropped", "bad")
    listed = generated.call(client, "rules.list_rules").rules
    assert [each.slot for each in listed] == [rule.slot]
    counters = generated.call(client, "system.read_counters")
    assert counters.interfaces.additional_properties == {}
