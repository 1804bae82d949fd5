# SPDX-License-Identifier: GPL-2.0-or-later
"""A full uplink is reported in warnings, notifications, audit log, incidents, API and metrics."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.flooded import amplified, observe, people
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.series import figures
from xdpctl.upstream.settings import Uplink, UpstreamSettings
from xdpctl.watch.uplinks import UplinkWatch

SETTINGS = UpstreamSettings((Uplink("eth0", 8_000_000),))
VICTIM = "198.51.100.7"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, upstream=SETTINGS) as found:
        yield found


def seconds(api: Api, watch: UplinkWatch, first: int, last: int, bytes_each: int) -> None:
    """Let time pass in which this many bytes a second arrive and all are dropped."""
    for second in range(first, last):
        dropped = Hits(1_000 * second, bytes_each * second)
        api.datapath.by_port = {"eth0": {Reason.MATCHED: dropped}}
        watch.step(float(second))


def flooded(api: Api) -> list[News]:
    told: list[News] = []
    watch = api.context.uplinks
    watch._tell = told.append
    seconds(api, watch, 1, 10, 1_000_000)
    return told


def opened(api: Api) -> str:
    answer = api.call("POST", "/v1/incidents", json={"victim": VICTIM})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def test_a_full_uplink_is_reported_everywhere(api: Api) -> None:
    incident = opened(api)
    told = flooded(api)
    assert [(each.kind, each.title) for each in told] == [(Kind.ESCALATED, "uplink eth0 is full")]
    assert any("uplink eth0 is full" in each for each in api.context.health.warnings())
    word = api.call("GET", "/v1/condition").json()
    assert word["state"] == "hurting"
    assert any("uplink eth0 is full" in reason for reason in word["reasons"])
    api.controller.submit(lambda _: None).result(5)
    notes = api.call("GET", f"/v1/incidents/{incident}").json()["notes"]
    assert "What is dropped here comes too late" in notes[0]["text"]
    found = api.call("GET", "/v1/upstream").json()
    assert found["uplinks"][0]["full_for"] > 0
    assert found["uplinks"][0]["share"] > 1, "the frames' own bytes count, too"
    actions = [record["action"] for record in api.call("GET", "/v1/audit").json()["records"]]
    assert "uplink.full" in actions
    text = api.call("GET", "/metrics").text
    assert 'xdpctl_uplink_full{interface="eth0"} 1.0' in text


def test_a_full_uplink_ends_after_a_calm_while(api: Api) -> None:
    flooded(api)
    watch = api.context.uplinks
    for second in range(10, 30):
        watch.step(float(second))
    assert not watch.links["eth0"].state.full_for
    assert not any("is full" in each for each in watch.warnings())


def test_an_incident_notes_a_flapping_link_only_now_and_then(api: Api) -> None:
    incident = opened(api)
    watch = api.context.uplinks

    def pulse(first: int) -> list[bool]:
        seconds(api, watch, first, first + 9, 1_000_000)
        for second in range(first + 9, first + 30):
            watch.step(float(second))
        api.controller.submit(lambda _: None).result(5)
        notes = api.call("GET", f"/v1/incidents/{incident}").json()["notes"]
        return ["is full" in note["text"] for note in notes]

    watch._tell = lambda _: None
    assert pulse(1) == [True, False]
    assert pulse(100) == [True, False], "ten minutes have not passed"
    api.clock.advance(601)
    assert pulse(200) == [True, False, True, False]


def test_requests_are_made_from_what_fills_the_link_and_not_from_rules(api: Api) -> None:
    body: dict[str, Any] = {"match": f"udp src-port 99 dst {VICTIM}", "action": "drop"}
    assert api.call("POST", "/v1/rules", json=body).status_code == 201
    incident = opened(api)
    observe(api.context, people(), amplified())
    found = api.call("GET", "/v1/upstream").json()["attacks"][0]
    assert [each["kind"] for each in found["requests"]] == ["flowspec", "rtbh"]
    assert "source-port =53" in found["requests"][0]["route"]
    assert [each["name"] for each in found["options"]] == ["nothing", "flowspec", "blackhole"]
    text = api.call("GET", f"/v1/upstream/letters/{incident}").json()["text"]
    assert "source-port =53" in text
    problem(api.call("GET", "/v1/upstream/letters/none"), 404, "not-found")


def test_a_full_link_opens_an_incident_for_its_victim_once(api: Api) -> None:
    observe(api.context, people(), amplified())
    flooded(api)
    (incident,) = api.call("GET", "/v1/incidents").json()["incidents"]
    assert (incident["subject"], incident["open"]) == (f"{VICTIM}/32", True)
    whole = api.call("GET", f"/v1/incidents/{incident['id']}").json()
    assert whole["detectors"] == ["uplink"]
    assert len(whole["events"]) == 1, "it is reported again after a minute"
    assert "the uplink eth0 is full" in whole["events"][0]["note"]
    record = api.controller.state.incidents[incident["id"]]
    assert record.ends_at == record.updated_at + 600, "then it is over by itself"


def test_a_full_link_leaves_an_incident_to_who_opened_it(api: Api) -> None:
    incident = opened(api)
    observe(api.context, people(), amplified())
    flooded(api)
    (only,) = api.call("GET", "/v1/incidents").json()["incidents"]
    assert only["id"] == incident
    assert api.call("GET", f"/v1/incidents/{incident}").json()["detectors"] == ["operator"]


def test_people_who_fill_a_link_are_no_incident(api: Api) -> None:
    observe(api.context, people(weight=100))
    flooded(api)
    assert not api.call("GET", "/v1/incidents").json()["incidents"]
    assert "known flows fill it" in api.context.uplinks.full()[0]


def test_without_a_peer_the_letter_is_recommended(api: Api) -> None:
    observe(api.context, people(), amplified())
    flooded(api)
    assert "send the provider the letter" in api.context.uplinks.full()[0]


def test_an_uplink_without_a_filter_is_reported(api: Api) -> None:
    watch = api.context.uplinks
    watch.step(1.0)
    assert watch.warnings() == ["the uplink eth0 is not filtered: add it to interfaces"]
    assert not api.call("GET", "/v1/upstream").json()["uplinks"][0]["filtered"]


def test_without_uplinks_nothing_is_monitored_or_requested(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        api.context.uplinks.start()
        assert not api.context.uplinks._beat._thread.is_alive()
        assert not any(api.call("GET", "/v1/upstream").json().values())
        incident = opened(api)
        letter = f"/v1/upstream/letters/{incident}"
        assert "upstream.uplinks" in api.call("GET", letter).json()["detail"]
        assert "xdpctl_uplink" not in api.call("GET", "/metrics").text


def test_an_uplink_filled_by_outgoing_traffic_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [(0.0, 0.0)]
    monkeypatch.setattr(figures, "sent", lambda _: sent[0])
    uplink = UpstreamSettings((Uplink("eth0", 8_000_000, bits_out=1_000_000),))
    with running(tmp_path, upstream=uplink) as api:
        api.datapath.by_port = {"eth0": {}}
        watch = api.context.uplinks
        for second in range(1, 6):
            sent[0] = (100.0 * second, 120_000.0 * second)
            watch.step(float(second))
        (warning,) = watch.warnings()
        assert "what goes out fills the uplink eth0 (98% of 1 Mbit/s)" in warning
        found = api.call("GET", "/v1/upstream").json()["uplinks"][0]
        assert (found["bits_out"], found["full_out_for"] > 2) == (1_000_000, True)
        assert found["full_for"] == 0
        assert 'xdpctl_uplink_share_out{interface="eth0"} 0.9' in api.call("GET", "/metrics").text


def test_the_bytes_sent_by_an_interface_are_read_from_the_kernel() -> None:
    packets, octets = figures.sent("lo")
    assert 0 <= packets <= octets
    assert math.isnan(figures.sent("nosuch0")[0])
