# SPDX-License-Identifier: GPL-2.0-or-later
"""The stream of events over the API: what is sent, and when it ends."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.errors import StoreError


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def published(api: Api, *steps: Any) -> list[tuple[str, Any]]:
    """The events that a step of the producer publishes after each call, by kind."""

    async def run() -> bytes:
        reader = api.context.producer.broadcast.read()
        await anext(reader)
        api.context.producer.step(0.0)
        for call in steps:
            await asyncio.to_thread(call)
            api.context.producer.step(0.0)
        return await anext(reader)

    text = asyncio.run(run()).decode()
    found = re.findall(r"^event: (\w+)\ndata: (.*)$", text, re.M)
    return [(kind, json.loads(data)) for kind, data in found]


def test_the_stream_sends_figures_changes_and_problems(api: Api) -> None:
    def count(number: int) -> None:
        api.clock.advance(1.0)
        api.datapath.by_port = {"isp0": {Reason.NO_RULE: Hits(number, 0)}}
        api.context.series.step(float(number))

    count(0)
    count(500)
    events = published(api, lambda: api.add("203.0.113.0/24"))
    kinds = [kind for kind, _ in events]
    assert kinds.count("figures") == 2
    figures = events[0][1]
    assert figures["figures"]["pass_packets"] == 1.0
    assert figures["bypass"] is False
    (change,) = [value for kind, value in events if kind == "change"]
    assert (change["action"], change["subject"]) == ("rule.add", "203.0.113.0_24")
    assert not change.keys() & {"detail", "actor"}
    assert kinds.count("problems") == 1
    assert next(value for kind, value in events if kind == "problems")["problems"] == []


def test_viewers_do_not_see_changes_of_tokens(api: Api) -> None:
    def create() -> None:
        api.call("POST", "/v1/tokens", json={"name": "customer-7", "role": "viewer"})

    assert "customer-7" not in str(published(api, create))


def test_a_failing_store_is_a_problem_and_the_figures_go_on(api: Api) -> None:
    def fail() -> None:
        api.controller._loop.problem = "the store failed"
        api.store.audit = lambda *_: (_ for _ in ()).throw(StoreError("x"))  # type: ignore[method-assign]

    kinds = [kind for kind, _ in published(api, fail, lambda: None)]
    assert kinds.count("figures") == 3
    assert kinds.count("problems") == 2


def test_an_incident_is_sent_when_it_changes(api: Api) -> None:
    def begin() -> None:
        body = {"phase": "began", "id": "4", "sources": ["203.0.113.7"], "ttl": 600}
        assert api.call("POST", "/v1/hooks/event", json=body).status_code == 200

    events = [value for kind, value in published(api, begin, lambda: None) if kind == "incident"]
    assert [(each["subject"], each["open"]) for each in events] == [
        ("sources named by event", True)
    ]


def test_many_changes_in_a_second_are_sent_as_a_count(api: Api) -> None:
    def many() -> None:
        for _ in range(30):
            api.add("203.0.113.7")
            api.call("DELETE", "/v1/rules/203.0.113.7_32")

    events = published(api, many)
    assert [kind for kind, _ in events].count("change") == 50
    assert [value for kind, value in events if kind == "changes"] == [{"more": 10}]
    assert [kind for kind, _ in published(api)].count("change") == 0


def test_a_stream_needs_a_viewer_and_ends_with_the_token(api: Api) -> None:
    answer = api.call("GET", "/v1/stream", peer=TCP)
    assert problem(answer, 401, "access")
    created = api.call("POST", "/v1/tokens", json={"name": "tv", "role": "viewer"}).json()

    def end(*_: object) -> None:
        api.call("DELETE", "/v1/tokens/tv")
        api.context.producer.broadcast.wake()

    timer = threading.Timer(0.5, end)
    timer.start()
    answer = api.call("GET", "/v1/stream", peer=TCP, token=created["secret"])
    timer.join()
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 2000")
