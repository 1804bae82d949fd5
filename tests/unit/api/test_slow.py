# SPDX-License-Identifier: GPL-2.0-or-later
"""Slow feeds do not delay other responses, refusals, a stop, or callers who disconnect."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.apiclient import Api, problem, running
from xdpctl.lists.formats import read
from xdpctl.lists.settings import FeedSettings
from xdpctl.model.source_set import FeedSource
from xdpctl.processes.pools import _FETCHES
from xdpctl_api.transport.callers import LocalCallers

FEED = {"feed": {"url": "https://feeds.test/"}}
Scenario = Callable[[httpx2.AsyncClient], Awaitable[Any]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, feeds=FeedSettings(directory=tmp_path)) as api:
        yield api


@pytest.fixture
def server(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A server whose feeds hang until the event is set, and then have one host."""
    go = threading.Event()

    def load(source: FeedSource) -> Any:
        assert go.wait(20)
        return read(b"45.0.0.1\n"), source

    monkeypatch.setattr(api.refresher.source, "load", load)
    yield go
    go.set()


def play(api: Api, scenario: Scenario) -> None:
    """Run requests in one event loop, as the server does."""

    async def whole() -> None:
        transport = httpx2.ASGITransport(LocalCallers(api.app), client=("root", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            await scenario(client)

    asyncio.run(asyncio.wait_for(whole(), 30))


async def until(question: Callable[[], bool]) -> None:
    while not question():  # noqa: ASYNC110  # what is asked about sets no event
        await asyncio.sleep(0.005)


def asked(api: Api, client: httpx2.AsyncClient, count: int) -> list[asyncio.Task[httpx2.Response]]:
    names = [f"s{n}" for n in range(count)]
    return [asyncio.create_task(client.put(f"/v1/sets/{name}", json=FEED)) for name in names]


def under_way(api: Api) -> int:
    return len(api.app.state.context.pools.fetches._open)


def test_slow_feeds_delay_no_other_request(api: Api, server: threading.Event) -> None:
    async def scenario(client: httpx2.AsyncClient) -> None:
        waiting = asked(api, client, _FETCHES + 3)
        await until(lambda: sum(task.done() for task in waiting) == 3)
        for refused in waiting[_FETCHES:]:
            told = problem(await refused, 503, "busy")
            assert "4 fetches of feeds are under way" in told["detail"]
            assert refused.result().headers["retry-after"] == "10"
        for path in ("/v1/status", "/v1/explain?source=45.0.0.1", "/metrics", "/v1/audit"):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/v1/why/45.0.0.1")).status_code == 200
        assert (await client.put("/v1/sets/file", content=b"45.0.0.2")).status_code == 201
        server.set()
        assert [(await task).status_code for task in waiting[:_FETCHES]] == [201] * _FETCHES

    play(api, scenario)


def test_a_stop_answers_callers_who_wait_for_a_feed_or_for_traffic(
    api: Api, server: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl_api.routes.sets.watch", lambda *_: server.wait(20))
    api.put("bad", b"45.0.0.1")

    async def scenario(client: httpx2.AsyncClient) -> None:
        waiting = asked(api, client, 2)
        waiting.append(asyncio.create_task(client.get("/v1/sets/bad/top?seconds=60")))
        await until(lambda: under_way(api) == 2 and bool(api.app.state.context.pools.watches._open))
        api.app.state.context.stop()
        for task in waiting:
            assert "stopping" in problem(await task, 503, "busy")["detail"]

    play(api, scenario)
    assert set(api.controller.state.sets) == {"bad"}


def test_nothing_is_decided_for_a_caller_who_has_left(api: Api, server: threading.Event) -> None:
    left = asyncio.Event()

    async def scenario(_: httpx2.AsyncClient) -> None:
        body = [{"type": "http.request", "body": b'{"feed":{"url":"https://feeds.test/"}}'}]

        async def receive() -> Any:
            if body:
                return body.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            """Discard the message."""

        scope = {
            **{"type": "http", "method": "PUT", "path": "/v1/sets/bad", "client": ("root", 1)},
            **{"query_string": b"", "http_version": "1.1", "root_path": "", "scheme": "http"},
            "headers": [(b"content-type", b"application/json")],
        }
        request = asyncio.create_task(LocalCallers(api.app)(scope, receive, send))
        await until(lambda: under_way(api) == 1)
        left.set()
        server.set()
        await request

    play(api, scenario)
    assert api.controller.state.sets == {}


def test_a_changed_interval_does_not_bring_back_a_removed_feed(api: Api, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text("45.0.0.1")
    api.put("bad", {"feed": {"file": "old"}})
    go, jobs = threading.Event(), api.controller.jobs

    async def scenario(client: httpx2.AsyncClient) -> None:
        api.controller.submit(lambda draft: go.wait(20))
        await until(lambda: not len(jobs))
        put = asyncio.create_task(client.put("/v1/sets/bad", json={"feed": {"file": "new"}}))
        await until(lambda: len(jobs) == 1)
        patch = asyncio.create_task(client.patch("/v1/sets/bad", json={"refresh": "2h"}))
        await until(lambda: len(jobs) == 2)
        go.set()
        assert (await put).is_success
        assert (await patch).is_success

    play(api, scenario)
    feed = api.controller.state.sets["bad"].feed
    assert feed
    assert (feed.file, feed.refresh) == ("new", 7200)
