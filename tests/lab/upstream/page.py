# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures announcements to providers and routes of peers; writes docs/results/upstream.md."""

import platform
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.report import drawing
from tests.lab.upstream import judged
from tests.lab.upstream import twelve as twelve_attacks
from tests.lab.upstream.churn import SECONDS as CHURN_SECONDS
from tests.lab.upstream.churn import settled
from tests.lab.upstream.neighbours import SPEAKER, Site, between
from tests.lab.upstream.scene import RATE, Scene
from tests.lab.upstream.scene import played as scene_played
from tests.lab.upstream.twelve import Result, played

_TRIALS, _RECEIVED, _HOSTILE, _WATCHED_SECONDS = 30, 20, 10_000, 12
_BRIDGE = "xdpctl.upstream.bgp.bridge"
_SPEAKING = (
    f"approved → in FRR's table, p50 of {_TRIALS}",
    "the same, the slowest",
    f"FlowSpec sent by the scrubbing centre → rule in force, p50 of {_RECEIVED}",
    "the same, the slowest",
    "withdrawn by it → rule gone, p50",
    "the same, the slowest",
    f"{_HOSTILE:,} routes: sent within; session; kept; counted and forgotten; rules (the quota)",
    "the route was away at the provider for, after SIGKILL of the bridge",
    "of ExaBGP",
    "of the control plane",
)
_BARS = ("100 ms", "", "100 ms", "", "100 ms", "", "", "", "", "")
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
_FLOW = "match destination 198.51.100.7/32 protocol udp destination-port =={port} then discard"


def until(what: Callable[[], Any], seconds: float = 60.0, pause: float = 0.005) -> float:
    """The seconds until a condition holds."""
    began = time.perf_counter()
    while not what():
        if time.perf_counter() > began + seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)
    return time.perf_counter() - began


@dataclass
class Watch:
    """Records the share of the link that arrives, as the box measures it, and events."""

    scene: Scene
    began: float = field(default_factory=time.perf_counter)
    shares: list[tuple[float, float]] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)

    @property
    def now(self) -> float:
        return time.perf_counter() - self.began

    def note(self, text: str) -> float:
        self.events.append((self.now, text))
        return self.now

    @contextmanager
    def watching(self) -> Iterator[None]:
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.25):
                self.shares.append((self.now, self.scene.share()))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def attack() -> tuple[list[tuple[str, str, str]], Watch, list[str]]:
    """Play an attack to its end; return the table's rows, the curve, and the incident's notes."""
    with scene_played() as scene:
        scene.configure(ttl="20s")
        scene.box.start()
        until(scene.up)
        call = scene.box.client.call
        call("POST", "/v1/rules", json={"match": "udp src-port 53", "action": "drop"})
        watch = Watch(scene)
        with watch.watching():
            before = scene.lost(40)
            with scene.flood(120):
                watch.note("flood")
                until(lambda: scene.share() >= 0.9)
                full = watch.note("full")
                until(scene.proposed)
                proposed = watch.note("proposed") - full
                during = scene.lost(40)
                proposal = scene.proposed()
                assert proposal is not None
                began = time.monotonic()
                call("POST", f"/v1/upstream/announcements/{proposal['id']}", json={})
                until(lambda: scene.line.seen_at)
                table = min(scene.line.seen_at.values()) - began
                watch.note("approved")
                well = until(lambda: scene.share() < 0.3)
                after = scene.lost(40)
                until(lambda: not scene.line.rules)
                watch.note("withdrawn, watched")
                until(lambda: scene.line.rules)
                watch.note("announced anew")
                time.sleep(3)
            watch.note("flood ends")
            until(lambda: not scene.upstream()["announcements"], 90)
            watch.note("withdrawn")
        (incident,) = (each["id"] for each in call("GET", "/v1/incidents")["incidents"])
        notes = [note["text"] for note in call("GET", f"/v1/incidents/{incident}")["notes"]]
    rows = [
        ("the link is full → proposed", f"{proposed:.1f} s", "3 s"),
        ("approved → in FRR's table, one time", f"{table * 1e3:.0f} ms", "100 ms"),
        ("approved → less than 30 % of the link arrives, as the box says it", f"{well:.1f} s", ""),
        ("a client's pings of 1,000 bytes lost: before", f"{before:.0%}", ""),
        ("during the flood, all of which XDP drops", f"{during:.0%}", ""),
        ("after the provider was asked", f"{after:.0%}", "0 %"),
    ]
    return rows, watch, notes


def asked(site: Site) -> list[float]:
    """Seconds from the request to FRR's table, of announcements one after the other, sorted."""
    seconds = []
    for _ in range(_TRIALS):
        began = time.perf_counter()
        flow = site.announce(bps=2_000_000)
        until(site.frr.flowspec, pause=0)
        seconds.append(time.perf_counter() - began)
        site.box.client.call("DELETE", f"/v1/upstream/announcements/{flow['id']}")
        until(lambda: not site.frr.flowspec())
    return sorted(seconds)


def received(site: Site) -> tuple[list[float], list[float]]:
    """Seconds from the end of GoBGP's command until the rule is in force, and until it is gone."""
    site.rules()  # the first answer of an API is slow, and is not what is measured
    here: list[float] = []
    gone: list[float] = []
    for number in range(_RECEIVED):
        words = _FLOW.format(port=1 + number)
        for add, seconds in ((True, here), (False, gone)):
            site.gobgp.flow(words, add)
            seconds.append(until(partial(_is, site, add), pause=0))
    return sorted(here), sorted(gone)


def _is(site: Site, there: bool) -> bool:
    return bool(site.rules()) is there


def hostile(site: Site) -> tuple[float, dict[str, Any], int]:
    """Send ten thousand routes; return the seconds, the state of the peer, and its rules."""
    script = site.gobgp.folder / "many.sh"
    lines = (
        f"gobgp --target {site.gobgp.api} global rib add -a ipv4-flowspec match destination "
        f"198.51.100.{number % 250}/32 protocol udp destination-port =={1 + number} then discard"
        for number in range(_HOSTILE)
    )
    script.write_text("\n".join(lines))
    began = time.perf_counter()
    site.gobgp.host.sh(
        "xargs", "-P", "2", "-a", str(script), "-d", "\n", "-n", "1", "sh", "-c", 'eval "$0"'
    )
    took = time.perf_counter() - began
    until(lambda: site.peer("scrubber")["beyond"] + site.peer("scrubber")["received"] >= _HOSTILE)
    until(lambda: len(site.rules()) >= 128)
    return took, site.peer("scrubber"), len(site.rules())


def _another(site: Site, words: str, before: int) -> bool:
    return site.child(words) not in (0, before)


def killed(words: str) -> float:
    """The seconds that the provider lacks a route after SIGKILL of a process of the box."""
    with between() as site:
        site.start()
        site.announce(bps=2_000_000)
        until(site.frr.flowspec)
        at = ended = time.perf_counter()
        victim = site.send(words, signal.SIGKILL)
        away = 0.0
        while not (_another(site, words, victim) and ended > at + _WATCHED_SECONDS):
            there, now = bool(site.frr.flowspec()), time.perf_counter()
            away += 0.0 if there else now - ended
            ended = now
            assert ended < at + 60
        assert site.frr.flowspec(), "it is back"
        return away


def picture(watch: Watch) -> Figure:
    """The plot of what arrived over time, with the events."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    pane = figure.subplots()
    pane.plot(*zip(*watch.shares, strict=True), color=drawing.COLOURS["ours"])
    for number, (at, text) in enumerate(watch.events):
        pane.axvline(at, color="0.6", lw=0.8)
        pane.text(at, 1.32 - 0.1 * (number % 4), f" {text}", fontsize=7)
    pane.set(xlabel="seconds", ylabel="share of the link that arrives", ylim=(0, 1.4))
    pane.grid()
    return figure


def speaking() -> list[str]:
    """The figures of the speaker, as the cells of `_SPEAKING`."""
    with between() as site:
        site.start()
        sent = asked(site)
        here, gone = received(site)
    with between() as site:
        site.start()
        took, peer, rules = hostile(site)
    half = statistics.median
    up = "up" if peer["up"] else "down"
    return [
        *(_ms(figure) for times in (sent, here, gone) for figure in (half(times), times[-1])),
        f"{took:.0f} s; {up}; {peer['received']:,}; {peer['beyond']:,}; {rules:,}",
        *(_away(killed(words)) for words in (_BRIDGE, SPEAKER, "xdpctl_api")),
    ]


_TWELVE = (
    "| attack | provider | proposed after the link was full | in its table after | takes of the "
    "attack | of people | pages lost before, after | said of the effect |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def twelve() -> str:
    """The table of the twelve attacks, with each provider's router."""
    return _TWELVE + "".join(_result(one) for name in twelve_attacks.MADE for one in played(name))


def _result(one: Result) -> str:
    cells = (
        *(one.case, one.router, _known(one.proposed_after, "{:.1f} s")),
        _known(one.in_table_after, "{:.3f} s"),
        *(_known(share, "{:.1%}") for share in (one.attack_taken, one.people_taken)),
        f"{_known(one.lost_before, '{:.0%}')}, {_known(one.lost_after, '{:.0%}')}",
        one.effect or one.said,
    )
    return f"| {' | '.join(cells)} |\n"


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


_JUDGED = "| what really happens | attack | what is said | right |\n|---|---|---|---|\n"


def twenty() -> str:
    """The table of twenty routes, with FRR, and of a peer whose routes come and go."""
    found = list(judged.played("frr"))
    rows = "".join(
        f"| {one.truth} | {one.attack} | {one.said} | {'yes' if one.right else '**no**'} |\n"
        for one in found
    )
    right = sum(one.right for one in found)
    return f"{_JUDGED}{rows}\nRight: {right} of {len(found)}.\n\n{churned(*settled())}\n"


def churned(seconds: float, rate: float, rules: int) -> str:
    """A sentence about a peer whose routes come and go."""
    return (
        f"A peer sends {rate:.0f} FlowSpec updates a second for {CHURN_SECONDS} s, and then "
        f"{rules} routes that stay: their rules were in force after {seconds:.1f} s (bar: 5 s)."
    )


def main() -> None:
    """`python -m tests.lab.upstream.page docs/results`."""
    folder = Path(sys.argv[1])
    rows, watch, notes = attack()
    where = f"Linux {platform.release()}, 2 cores for everything, {time.strftime('%Y-%m-%d')}"
    story = "\n".join(f"> {text}\n>" for text in notes)
    text = (
        f"{_BEGIN}\n{where}. The link carries {RATE // 1_000_000} Mbit/s.\n\n"
        f"| what | measured | bar |\n|---|---|---|\n{_rows(rows)}\n\n"
        "![The share of the link that arrives over time](../img/upstream.svg)\n\n"
        f"The incident tells of it:\n\n{story}\n\n"
        "| what | measured | bar |\n|---|---|---|\n"
        f"{_rows(zip(_SPEAKING, speaking(), _BARS, strict=True))}\n\n"
        f"## Twelve attacks\n\n{twelve()}\n"
        f"## Whether it helped: twenty routes\n\n{twenty()}{_END}"
    )
    with drawing.style():
        drawing.save(picture(watch), folder.parent / "img" / "upstream.svg")
    page = folder / "upstream.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(before + text + rest.partition(_END)[2])
    print(text)


def _rows(rows: Iterable[Iterable[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _away(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds else "not"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


if __name__ == "__main__":
    main()
