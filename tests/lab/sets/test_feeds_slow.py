# SPDX-License-Identifier: GPL-2.0-or-later
"""A feed server that hangs: a running box answers all other requests, and stops without waiting."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.questions import put_set, refusal, set_in_kernel
from tests.lab.sets.test_feeds import FIRST, THIRD, Publisher, fed, publisher
from xdpctl.client import Client
from xdpctl.errors import Refused, Unreachable
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

__all__ = ["fed", "publisher"]  # the fixtures
FETCHES = 4


@pytest.fixture
def hanging(fed: Box, publisher: Publisher) -> Iterator[list["Future[Any]"]]:
    """Send as many requests that wait for the server as are accepted."""
    publisher.held.clear()
    asked = len(publisher.asked)

    def put(number: int) -> Any:
        try:
            body = {"feed": {"url": publisher.url}}
            return fed.client.call("PUT", f"/v1/sets/slow{number}", 60, json=body)
        except (Refused, Unreachable) as error:
            return error

    waiting = [fed.host.start(partial(put, n)) for n in range(FETCHES)]
    assert eventually(lambda: len(publisher.asked) == asked + FETCHES)
    yield waiting
    publisher.held.set()


def test_all_other_requests_are_answered_while_feeds_hang(
    fed: Box, publisher: Publisher, hanging: list["Future[Any]"]
) -> None:
    client: Client = fed.client
    problem = refusal(client, "POST", "/v1/sets/feed/refresh")
    assert (problem["status"], problem["type"]) == (503, "urn:xdpctl:problem:busy")
    for path in ("/v1/status", "/v1/counters", "/v1/explain?source=45.0.0.1", "/metrics"):
        assert client.call("GET", path)
    assert client.call("GET", "/v1/why/45.0.0.1")["address"] == "45.0.0.1"
    put_set(client, "other", THIRD)
    assert set_in_kernel(fed, "other") == set(THIRD)
    assert not any(future.done() for future in hanging)
    publisher.held.set()
    assert all(future.result()["created"] for future in hanging)
    assert client.call("POST", "/v1/sets/feed/refresh")["changed"] is False


@pytest.mark.parametrize("by_terminal", [False, True])
def test_a_stop_logs_no_error_and_answers_waiting_callers(
    fed: Box, publisher: Publisher, hanging: list["Future[Any]"], host: Host, by_terminal: bool
) -> None:
    watching = host.start(lambda: refusal(fed.client, "GET", "/v1/sets/feed/top?seconds=60"))
    before = fed.log.read_text()
    assert eventually(lambda: len(sockets(fed)) >= FETCHES + 1)
    fed.client.call("GET", "/v1/status")  # so that earlier requests are read
    if by_terminal:  # Ctrl-C reaches the whole group
        for pid in reversed(fed.processes()):
            os.kill(pid, signal.SIGINT)
    fed.stop()
    assert not publisher.held.is_set(), "the server would have hung on"
    said = [str(future.result()) for future in hanging]
    assert all("stopping" in text for text in said), said
    assert "stopping" in watching.result()["detail"]
    log = fed.log.read_text().removeprefix(before)
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log
    fed.start()
    assert set_in_kernel(fed, "feed") == set(FIRST)
    assert [held["name"] for held in fed.client.call("GET", "/v1/sets")["sets"]] == ["feed"]


def sockets(box: Box) -> list[str]:
    """The control plane's open connections on its Unix socket."""
    with Path(f"/proc/{box.control_plane()}/net/unix").open() as table:
        return [
            line for line in table if line.rstrip().endswith(str(box.socket)) and " 03 " in line
        ]


def test_a_stop_ends_a_stalled_upload_without_an_error(box: Box) -> None:
    box.start()
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(box.socket))
        asking.sendall(b"PUT /v1/sets/bad HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n45.0")
        box.client.call("GET", "/v1/status")  # so that the earlier request is in progress
        box.stop()
    log = box.log.read_text()
    assert "Traceback" not in log, log
    assert "with 0 rules on sources, 0 on matches and 0 sets" in log
