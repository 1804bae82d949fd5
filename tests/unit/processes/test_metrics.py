# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics beside those of traffic, rules and sets."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.apiclient import Api, running
from tests.support.hooked import event
from xdpctl import __version__
from xdpctl.abi.constants import Traffic
from xdpctl.base.histogram import Histogram
from xdpctl.errors import StoreError


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def samples(api: Api) -> dict[tuple[str, ...], float]:
    """The value of each sample, by its name and its labels' values by name of the label."""
    text = api.call("GET", "/metrics").text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_describe_the_build_and_the_process(api: Api) -> None:
    found = samples(api)
    assert any(key[::3] == ("xdpctl_build_info", __version__) for key in found)
    assert found["process_resident_memory_bytes",] > 1e6
    assert ("process_cpu_seconds_total",) in found


def test_time_to_the_kernel_is_a_histogram(api: Api) -> None:
    before = samples(api).get(("xdpctl_apply_seconds_count",), 0.0)
    for number in range(5):
        api.add(f"203.0.113.{number}")
    found = samples(api)
    assert found["xdpctl_apply_seconds_count",] == before + 5
    assert found["xdpctl_apply_seconds_bucket", "10"] == before + 5
    assert 0 < found["xdpctl_apply_seconds_sum",] < 5


def test_metrics_count_events_incidents_and_stream_readers(api: Api) -> None:
    body = event(sources=["203.0.113.7"], ttl=600)
    assert api.call("POST", "/v1/hooks/event?dry_run=true", json=body).status_code == 200
    assert ("xdpctl_events_total", "event") not in samples(api), "it was no event"
    assert api.call("POST", "/v1/hooks/event", json=body).status_code == 200
    found = samples(api)
    assert found["xdpctl_events_total", "event"] == 1
    assert (found["xdpctl_incidents_open",], found["xdpctl_incidents",]) == (1, 1)
    assert found["xdpctl_stream_readers",] == 0


def test_metrics_count_failures_of_the_store(api: Api) -> None:
    store = api.controller.store
    with pytest.raises(StoreError):
        raise store._explained(sqlite3.OperationalError("disk I/O error"))  # type: ignore[attr-defined]
    assert samples(api)["xdpctl_store_failures_total",] == 1


def test_metrics_show_the_error_of_the_clock(api: Api) -> None:
    assert samples(api)["xdpctl_clock_synchronised",] == 0
    api.clock.error = 0.004
    found = samples(api)
    assert found["xdpctl_clock_synchronised",] == 1
    assert found["xdpctl_clock_error_seconds",] == 0.004


def test_metrics_count_packets_by_kind(api: Api) -> None:
    api.datapath.heads.of_classes[Traffic.UDP] = 30, 3_000
    api.datapath.heads.missing = 40
    found = samples(api)
    assert found["xdpctl_kind_packets_total", "udp"] == 30
    assert found["xdpctl_kind_packets_total", "syn"] == 0
    assert found["xdpctl_not_sampled_packets_total",] == 40


def test_a_enforced_rule_keeps_its_series(api: Api) -> None:
    made = api.call("POST", "/v1/rules", json={"match": "udp src-port 53", "mode": "monitor"})
    identity = made.json()["id"]
    assert ("xdpctl_match_packets_total", identity) in samples(api)
    api.call("PATCH", f"/v1/rules/{identity}", json={"mode": "enforce", "force": True})
    found = samples(api)
    assert ("xdpctl_match_packets_total", identity) in found
    assert ("xdpctl_match_info", "drop", "enforce", "operator", identity) in found


def test_openmetrics_is_negotiated(api: Api) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = api.call("GET", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    plain = api.call("GET", "/metrics", headers={"Accept": "text/html"})
    assert plain.headers["content-type"].startswith("text/plain")


def test_a_histogram_counts_up_to_each_bound() -> None:
    found = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        found.observe(value)
    assert found.read() == ([2, 3, 4], 12.0)
