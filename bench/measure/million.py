# SPDX-License-Identifier: GPL-2.0-or-later
"""A set of a million addresses: put, used, replaced, and restored after a kill."""

import time
from collections.abc import Callable
from functools import cache

from bench import sources
from bench.report.results import Bar, percentile
from bench.service import Service
from bench.wire import rule, sequential

COUNT, DIFFERENT = 1_000_000, 10_000
NAME = "million"


@cache
def listing(first: int) -> bytes:
    """A million addresses, one per line as in a feed, beginning with number `first`."""
    return "".join(
        f"{text}\n" for text in sources.texts(sources.exact(first + COUNT)[first:])
    ).encode()


def measure(take: Callable[..., None], posts: int, running: Service) -> None:
    """Measure one set from its first PUT to its return after a kill."""
    k = f"{COUNT:,}"
    old, new = listing(0), listing(DIFFERENT)
    take(f"put a set of {k}, durable and in the kernel", "s", running.put(NAME, old), Bar(3))
    take(f"kernel memory with {k} addresses", "MB", running.kernel_mb(), Bar(200))
    take(f"resident with {k} addresses", "MB", running.rss_mb(), Bar(300))
    take("of it, the kernel's maps", "MB", running.maps_mb())
    take("the most it was while it took the set", "MB", running.peak_mb())
    take(f"idle with {k} addresses", "% of a core", running.idle_percent())
    fresh = sources.texts(sources.exact(2 * COUNT)[-posts:])
    times = sequential(running.socket, map(rule, fresh))
    take(f"one more rule with {k} addresses, p50", "ms", percentile(times, 50))
    take(f"one more rule with {k} addresses, p99", "ms", percentile(times, 99), Bar(15))
    take("replace the set, 1 % differs", "s", running.put(NAME, new), Bar(3))
    take("resident after that", "MB", running.rss_mb())
    began = time.monotonic()
    running.kill()
    running.start()
    take("kill -9 of everything to ready", "s", time.monotonic() - began, Bar(3))
    take("resident after that restart", "MB", running.rss_mb())
