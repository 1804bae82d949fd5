# SPDX-License-Identifier: GPL-2.0-or-later
"""A provider's line card: nftables does in its namespace what its router shows."""

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from tests.lab.upstream.tables import Shown
from xdpctl.lab.namespaces import Host


class Router(Protocol):
    """A provider's router."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def shown(self) -> list[Shown]: ...


@dataclass
class Line:
    """What the provider's line cards would do: drops in the forwarding path what its router shows.

    It only looks, and drops nothing, unless it is `enforcing`. `shown` is what the router shows,
    `rules` are those of nftables; `seen_at` has when each of them was wanted first (monotonic).
    """

    router: Router
    host: Host
    enforcing: bool = True
    shown: list[Shown] = field(default_factory=list)
    rules: tuple[str, ...] = ()
    seen_at: dict[str, float] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        hook = "type filter hook forward priority 0; policy accept;"
        self.host.sh("nft", f"add table ip line; add chain ip line f {{ {hook} }}")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            self.shown = self.router.shown()
            wanted = tuple(sorted(route.nft for route in self.shown)) if self.enforcing else ()
            if wanted != self.rules:
                now = time.monotonic()
                self.seen_at = dict.fromkeys(wanted, now) | self.seen_at
                lines = "; ".join(f"add rule ip line f {rule}" for rule in wanted)
                self.host.sh("nft", f"flush chain ip line f; {lines}")
                self.rules = wanted
