# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast rules and sets are applied by a real `xdpctl run`, over its Unix socket."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench import sources
from bench.errors import BenchError
from bench.measure import hooks, million, reload
from bench.peers import nft
from bench.report.results import Bar, Case, Results, percentile
from bench.service import Service, service
from bench.wire import Connection, concurrent, request, rule, sequential
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Host, Lab

PART = "control"
CLIENTS = 16
_STORED = 300  # rules that are restored at boot
Take = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Size:
    """The amount of work."""

    loaded: int = 100_000
    posts: int = 2_000
    concurrent_posts: int = 10_000
    rounds: int = 5
    sustained: int = 60  # seconds
    nft_rules: int = 10
    nft_slow_rules: int = 3  # for sets where adding one rule takes more than a second


def _take(results: Results, name: str, unit: str, value: float, *bars: Bar) -> None:
    results.declare(Case(PART, name, unit, bars=bars)).rounds.append(value)


def measure(results: Results, size: Size, generator: Generator) -> None:
    """Measure bulk loads, single rules, many clients, memory, a set of a million, and nft."""
    take = partial(_take, results)
    with Lab("bench") as lab:
        host, far = lab.host("control"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip("addr add 192.0.2.1/24 dev isp0")
        for _ in range(size.rounds):
            with service(host, "isp0") as running:
                _boot(take, running)
            with service(host, "isp0") as running:
                _rules(take, size, running)
            with service(host, "isp0", hooks.SETTINGS) as running:
                hooks.measure(take, size.posts, running)
            with service(host, "isp0") as running:
                million.measure(take, size.posts, running)
            with service(host, "isp0") as running:
                reload.measure(take, results.notes, running, reload.Line(generator, far, host))
        with service(host, "isp0", hooks.SETTINGS) as running:
            hooks.sustain(take, size.sustained, running)
        for number in range(size.rounds):
            _nft(take, size, host, number)


def _boot(take: Take, running: Service) -> None:
    listing = "\n".join(sources.texts(sources.exact(_STORED))).encode()
    _add(Connection(running.socket), listing, _STORED)
    take(f"boot: nothing in the kernel to {_STORED} rules in force", "s", running.boot(), Bar(2))


def _add(connection: Connection, listing: bytes, count: int) -> None:
    answer = connection.json(request("POST", "/v1/rules/bulk", listing, "text/plain"))
    if answer["added"] != count:
        raise BenchError(f"only {answer['added']} of {count} rules were added: {answer}")


def _rules(take: Take, size: Size, running: Service) -> None:
    k = f"{size.loaded:,}"
    take("own memory of the empty control plane", "MB", running.own_mb())
    listing = "\n".join(sources.texts(sources.exact(size.loaded))).encode()
    connection = Connection(running.socket)
    start, used = time.perf_counter(), running.cpu_seconds()
    _add(connection, listing, size.loaded)
    seconds = time.perf_counter() - start
    take(f"load {k} rules, durable and in the kernel", "s", seconds, Bar(2))
    take("its CPU time for that", "s", running.cpu_seconds() - used)
    take(f"own memory with {k} rules", "MB", running.own_mb(), Bar(120))
    take(f"idle with {k} rules", "% of a core", running.idle_percent())
    fresh = sources.exact(size.loaded + size.posts + size.concurrent_posts)
    texts = sources.texts(fresh[size.loaded :])
    times = sequential(running.socket, map(rule, texts[: size.posts]))
    take(f"one more rule with {k}, p50", "ms", percentile(times, 50), Bar(2))
    take(f"one more rule with {k}, p99", "ms", percentile(times, 99), Bar(10))
    bodies = [rule(text) for text in texts[size.posts :]]
    used = running.cpu_seconds()
    seconds, times = concurrent(running.socket, CLIENTS, bodies)
    faster = Bar(2000, at_least=True)
    take(f"{CLIENTS} clients posting", "rules/s", len(bodies) / seconds, faster)
    used = (running.cpu_seconds() - used) / len(bodies) * 1e3
    take("its CPU time for one of these", "ms", used)
    take(f"{CLIENTS} clients posting, p99", "ms", percentile(times, 99))
    take("own memory after that", "MB", running.own_mb(), Bar(120))


def _nft(take: Take, size: Size, host: Host, number: int) -> None:
    """Load the same sets into nft, and add single elements to each."""
    million = sources.texts(sources.exact(1_000_000))
    more = sources.texts(sources.exact(1_010_000)[1_000_000:])
    fresh = more[number * size.nft_rules :][: size.nft_rules]
    exact = "an nft set of"
    take(f"load {exact} 100,000", "s", nft.load(host, "isp0", million[:100_000], False))
    take(f"load {exact} 1,000,000", "s", nft.load(host, "isp0", million, False))
    take(f"one more in {exact} 1,000,000", "ms", median(nft.add(host, "isp0", fresh)))
    interval = "an nft interval set of"
    for count, rules in ((10_000, fresh), (100_000, fresh[: size.nft_slow_rules])):
        prefixes = sources.texts(sources.mixed(count))
        take(f"load {interval} {count:,}", "s", nft.load(host, "isp0", prefixes, True))
        take(f"one more in {interval} {count:,}", "ms", median(nft.add(host, "isp0", rules)))
    nft.clear(host, "isp0")
