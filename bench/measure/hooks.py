# SPDX-License-Identifier: GPL-2.0-or-later
"""The time from a detector's POST until its rules are durable and in the kernel."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench import sources
from bench.errors import BenchError
from bench.report.results import Bar, percentile
from bench.service import Service
from bench.wire import Connection, concurrent, request, sequential

SETTINGS = """
[automatic]
networks = ["198.18.0.0/15"]
max_per_minute = 1000000
[origins.event]
max_rules = 200000
max_matches = 900
"""
_MANY, _VICTIMS = 10_000, 750
_CLIENTS = 16
_A_SECOND, _SENDERS = 1_000, 64
_RATE = Bar(1_000, at_least=True)
Take = Callable[..., None]


def _post(event: dict[str, Any]) -> bytes:
    return request("POST", "/v1/hooks/event", json.dumps({"phase": "began", **event}).encode())


def _protect(count: int) -> Iterator[bytes]:
    """Events of floods on different victims, 800 at most: one signature each."""
    for n in range(count):
        victim = f"198.18.{n % 4}.{n // 4 % 200}"
        yield _post({"id": f"v{victim}", "victim": victim, "attack": "udp_flood"})


def _block(texts: Iterable[str]) -> Iterator[bytes]:
    for text in texts:
        yield _post({"id": text, "sources": [text], "ttl": 3600})


def measure(take: Take, posts: int, running: Service) -> None:
    """Measure single events of each verb, many at once, and one event with many sources."""
    texts = sources.texts(sources.exact(6 * posts + _MANY))
    single, texts = texts[:posts], texts[posts:]
    for verb, requests in (("block", _block(single)), ("protect", _protect(min(posts, _VICTIMS)))):
        times = sequential(running.socket, requests, 200)
        take(f"a hook's event to {verb}, p50", "ms", percentile(times, 50), Bar(20))
        take(f"a hook's event to {verb}, p99", "ms", percentile(times, 99), Bar(100))
    if (held := _used(running, "matches")) != min(posts, _VICTIMS):
        raise BenchError(f"{held} of {min(posts, _VICTIMS)} victims have a rule")
    bodies = list(_block(texts[: 5 * posts]))
    seconds, times = concurrent(running.socket, _CLIENTS, bodies, 200)
    take(f"events of {_CLIENTS} detectors at once", "events/s", len(bodies) / seconds, _RATE)
    take("p99 of these", "ms", percentile(times, 99), Bar(100))
    connection = Connection(running.socket)
    began = time.perf_counter()
    answer = connection.json(_post({"id": "many", "sources": texts[-_MANY:]}))
    take(f"one event with {_MANY:,} sources", "ms", (time.perf_counter() - began) * 1e3, Bar(500))
    if len(answer["rules"]) != _MANY:
        raise BenchError(f"an event was only applied in part: {answer['refused'][:3]}")
    connection.close()


def sustain(take: Take, seconds: int, running: Service) -> None:
    """Send 1,000 events each second for `seconds`, from many clients, each with a new source."""
    texts = sources.texts(sources.exact(seconds * _A_SECOND))
    before, memory = _used(running, "rules"), running.own_mb()
    began = time.perf_counter()
    for second in range(seconds):
        bodies = list(_block(texts[second * _A_SECOND : (second + 1) * _A_SECOND]))
        concurrent(running.socket, _SENDERS, bodies, 200)
        time.sleep(max(0.0, began + second + 1 - time.perf_counter()))
    took = time.perf_counter() - began
    take(f"{_A_SECOND:,} events/s for {seconds} s, done within", "s", took, Bar(seconds + 1))
    take("memory that these took", "MB", running.own_mb() - memory)
    if (lost := before + len(texts) - _used(running, "rules")) > 0:
        raise BenchError(f"{lost:,} of {len(texts):,} events were lost")


def _used(running: Service, name: str) -> int:
    """How many places of a table are used."""
    connection = Connection(running.socket)
    tables = connection.json(request("GET", "/v1/status"))["tables"]
    connection.close()
    return next(int(table["used"]) for table in tables if table["name"] == name)
