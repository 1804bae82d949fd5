# SPDX-License-Identifier: GPL-2.0-or-later
"""Live samples over the API: a line for each sample, and a last line with counts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import packets
from tests.support.apiclient import Api, problem, running
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.sizes import CAPTURE_BYTES
from xdpctl.abi.structs import Capture
from xdpctl.control.capture import CaptureAsk, choose
from xdpctl.datapath.heads import Masks

FRAME = packets.to_frame("203.0.113.7")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def ready(api: Api, *slots: int, reason: Reason = Reason.DROPPED) -> None:
    """Make these captures available as soon as they are requested."""
    head = FRAME.ljust(CAPTURE_BYTES, b"\0")
    waiting = [Capture(api.clock.ns, 1, len(FRAME), reason, slot, head) for slot in slots]
    before = api.datapath.capture

    def capture(masks: Masks, slot: int) -> None:
        before(masks, slot)
        if api.datapath.capturing[0]:
            api.datapath.to_capture = list(waiting)

    api.datapath.capture = capture  # type: ignore[method-assign]


def lines(api: Api, **query: Any) -> list[dict[str, Any]]:
    answer = api.call("GET", "/v1/samples", params={"seconds": 0.01, **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_packet_is_sent_with_the_rule_that_decided(api: Api) -> None:
    source = api.add("203.0.113.0/24")
    signed = api.call("POST", "/v1/rules", json={"match": "udp"}).json()
    ready(api, source["slot"], signed["slot"], SlotNumber.PROTECTED, 0)
    *told, end = lines(api, verdict="all", every=1)
    assert [line["rule"] for line in told] == ["203.0.113.0/24", signed["id"], "protected", None]
    assert end == {"taken": 4, "lost": 0}
    first = told[0]
    assert bytes.fromhex(first["data"]) == FRAME
    assert (first["verdict"], first["reason"], first["interface"]) == ("drop", "dropped", "lo")
    assert first["time"].startswith("2023-11-14T22:13:20")
    assert api.datapath.capturing == (0, 0, 0), "it was turned off again"


def test_a_rule_is_named_by_source_id_or_set(api: Api) -> None:
    wanted = {
        "203.0.113.0_24": api.add("203.0.113.0/24")["slot"],
        "bad": api.put("bad", b"45.0.0.7")["slot"],
    }
    asked = []
    api.datapath.when_capturing = lambda: asked.append(api.datapath.capturing)
    for name, slot in wanted.items():
        lines(api, rule=name, every=128)
        assert asked[-1] == (sum(1 << r for r in Reason if r.verdict == "drop"), slot, 127)


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ({"verdict": "droped"}, 400, "bad-request"),
        ({"every": 3}, 400, "bad-request"),
        ({"seconds": 0}, 400, "bad-request"),
        ({"rule": "m-0"}, 404, "not-found"),
        ({"rule": "203.0.113.7"}, 404, "not-found"),
    ],
)
def test_captures_that_cannot_be_made_are_refused(
    api: Api, query: dict[str, Any], status: int, kind: str
) -> None:
    problem(api.call("GET", "/v1/samples", params=query), status, kind)
    assert lines(api) == [{"taken": 0, "lost": 0}], "a refused capture does not block the next one"


def test_a_capture_ends_after_the_requested_number_of_packets(api: Api) -> None:
    ready(api, *[2] * 50)
    *told, end = lines(api, limit=7, seconds=60)
    assert (len(told), end["taken"]) == (7, 7)


def test_too_many_at_a_time_are_refused_before_anything_is_sent(api: Api) -> None:
    ask = CaptureAsk(choose("drop"))
    running = [api.context.captures.begin(ask).batches() for _ in range(16)]
    for each in running:
        next(each)
    problem(api.call("GET", "/v1/samples"), 503, "busy")
    running.pop().close()
    assert lines(api) == [{"taken": 0, "lost": 0}]
