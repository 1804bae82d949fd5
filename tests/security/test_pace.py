# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests without a token are rate-limited by network; requests with a token are not."""

import asyncio
from types import SimpleNamespace

import httpx2
import pytest

from tests.support.apiclient import Api
from xdpctl_api.transport.admission import Pace
from xdpctl_api.transport.callers import Hosts, RemoteCallers


def test_each_peer_has_its_own_request_budget() -> None:
    pace = Pace(a_second=10, at_once=60)
    assert [pace.allows("a", 100.0) for _ in range(61)] == [True] * 60 + [False]
    assert pace.allows("b", 100.0)
    assert [pace.allows("a", 100.5) for _ in range(6)] == [True] * 5 + [False]
    assert pace.allows("a", 100.7, cost=0)
    for number in range(5_000):
        pace.allows(number, 101.0)
    assert len(pace._held) == 4_096


class Remote:
    """One listener on TCP, at one moment."""

    def __init__(self, api: Api) -> None:
        self._app = RemoteCallers(api.app, Hosts(()))

    def ask(self, path: str, all_headers: list[dict[str, str]], address: str) -> list[int]:
        """The HTTP status of each request."""

        async def send() -> list[int]:
            transport = httpx2.ASGITransport(self._app, client=(address, 5))
            base = "http://127.0.0.1:8460"
            async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
                return [(await client.get(path, headers=each)).status_code for each in all_headers]

        return asyncio.run(send())


@pytest.fixture
def remote(api: Api, monkeypatch: pytest.MonkeyPatch) -> Remote:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr("xdpctl_api.transport.callers.time", clock)
    return Remote(api)


@pytest.mark.parametrize("path", ["/login", "/openapi.json"])
def test_a_stranger_who_asks_too_often_gets_no_answer(remote: Remote, path: str) -> None:
    """Also with an invalid cookie."""
    codes = remote.ask(path, [{"cookie": "xdpctl=made-up"}] * 62, "198.18.0.1")
    assert (codes[0], codes[-1]) == (200, 429)


@pytest.mark.parametrize(
    ("path", "first", "shown"),
    [
        ("/v1/rules", 401, "authorization"),
        ("/metrics", 401, "authorization"),
        ("/", 303, "cookie"),
    ],
)
def test_a_caller_who_guesses_tokens_is_slowed_down(
    remote: Remote, path: str, first: int, shown: str
) -> None:
    guesses = [{shown: f"Bearer xdpctl_{n}; xdpctl=made-up{n}"} for n in range(80)]
    codes = remote.ask(path, guesses, "198.18.0.10")
    assert (codes[0], codes[-1]) == (first, 429)


def test_strangers_at_the_same_address_lock_nobody_out(api: Api, remote: Remote) -> None:
    shown = {"authorization": f"Bearer {api.token('eyes', 'viewer')}"}
    assert set(remote.ask("/login", [{}] * 62, "198.18.0.1")) == {200, 429}
    assert set(remote.ask("/v1/rules", [shown] * 80, "198.18.0.1")) == {200}
    guesses = [{"authorization": f"Bearer xdpctl_{n}"} for n in range(80)]
    assert set(remote.ask("/v1/rules", guesses, "198.18.0.1")) == {401, 429}
    assert set(remote.ask("/v1/rules", [shown] * 80, "198.18.0.1")) == {200}


def test_the_files_of_a_page_do_not_use_up_what_its_owner_may_ask(api: Api, remote: Remote) -> None:
    """Scripts and styles are public, so requests for them do not count."""
    shown = {"authorization": f"Bearer {api.token('eyes', 'viewer')}"}
    assert remote.ask("/v1/rules", [shown], "198.18.0.1") == [200]
    assert set(remote.ask("/static/page.js", [shown] * 80, "198.18.0.1")) == {200}
    assert set(remote.ask("/v1/rules", [shown] * 80, "198.18.0.1")) == {200}


def test_a_revoked_token_counts_as_a_guess(api: Api, remote: Remote) -> None:
    shown = {"authorization": f"Bearer {api.token('eyes', 'viewer')}"}
    assert remote.ask("/v1/rules", [shown], "198.18.0.1") == [200]
    api.call("DELETE", "/v1/tokens/eyes")
    codes = remote.ask("/v1/rules", [shown] * 80, "198.18.0.1")
    assert (codes[0], codes[-1]) == (401, 429)
