# SPDX-License-Identifier: GPL-2.0-or-later
"""How much there was of an incident, second by second: a line of a CSV file each."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.incidents.files import Files, add
from xdpctl.incidents.ledger import rule_slots
from xdpctl.model.incident import Incident

COLUMNS = ("time", "hit_pps", "hit_bps", "passed_pps", "dropped_pps")
_OFTEN, _SELDOM = 1.0, 10.0  # seconds from line to line, in the first minutes and after them
_OFTEN_LINES, _LINES_MAX = 600, 4_000
_POINTS = 240  # that a reader is given


@dataclass(slots=True)
class _Counted:
    """At the last line: all hits of the incident, all that the box passed and dropped."""

    at: float
    packets: int
    bytes: int
    passed: int
    dropped: int
    lines: int = 0


class Meter:
    """`step` it often; it writes when a line is due."""

    def __init__(self, controller: Controller, files: Files) -> None:
        self._controller, self._files = controller, files
        self._last: dict[str, _Counted] = {}

    def step(self, now: float, incidents: list[Incident]) -> None:
        """Those that go on; `now` in seconds of a clock that only goes on."""
        self._last = {one.id: self._last[one.id] for one in incidents if one.id in self._last}
        due = [one for one in incidents if self._due(one, now)]
        if due:
            passed, dropped = self._box()
            for one in due:
                self._line(one, now, passed, dropped)

    def _due(self, held: Incident, now: float) -> bool:
        last = self._last.get(held.id)
        if last is None:
            return True
        pause = _OFTEN if last.lines < _OFTEN_LINES else _SELDOM
        return last.lines < _LINES_MAX and now - last.at >= pause

    def _box(self) -> tuple[int, int]:
        """Packets that the box passed and dropped, of all interfaces."""
        sums = {"pass": 0, "drop": 0}
        for by_reason in self._controller.datapath.counters().values():
            for reason, hits in by_reason.items():
                sums[reason.verdict] += hits.packets
        return sums["pass"], sums["drop"]

    def _line(self, held: Incident, now: float, passed: int, dropped: int) -> None:
        # of the rules that it lists alone: others would all at once be there when they end
        listed = {one.id: one for one in held.rules if not one.ended_at}
        slots = rule_slots.slots(self._controller.state, held)
        told = zip(slots.values(), self._controller.datapath.hits([*slots]), strict=True)
        hits = [listed[rule].since(now) for rule, now in told]
        hits += [Hits(one.packets, one.bytes) for one in held.rules]
        packets, size = sum(one.packets for one in hits), sum(one.bytes for one in hits)
        last = self._last.get(held.id)
        lines = last.lines + 1 if last else 0
        self._last[held.id] = _Counted(now, packets, size, passed, dropped, lines)
        if last is None:
            return
        seconds = now - last.at
        rates = (
            (packets - last.packets) / seconds,
            8 * (size - last.bytes) / seconds,
            (passed - last.passed) / seconds,
            (dropped - last.dropped) / seconds,
        )
        path = self._files.rates(held.id)
        head = "" if path.exists() else ",".join(COLUMNS) + "\n"
        unix = self._controller.clock.read().unix
        add(path, (head + ",".join(f"{value:.1f}" for value in (unix, *rates)) + "\n").encode())


def read_rows(path: Path) -> list[tuple[float, ...]]:
    """Lines of the file as COLUMNS has them, thinned out to what can be drawn, peaks kept."""
    if not path.is_file():
        return []
    rows: list[tuple[float, ...]] = []
    for line in path.read_text(errors="replace").splitlines()[1:]:
        cells = line.split(",")
        with suppress(ValueError):  # a line may have been cut off
            row = tuple(map(float, cells))
            if len(row) == len(COLUMNS):
                rows.append(row)
    step = -(-len(rows) // _POINTS) or 1
    return [max(rows[at : at + step], key=lambda row: row[1]) for at in range(0, len(rows), step)]
