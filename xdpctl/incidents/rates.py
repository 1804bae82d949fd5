# SPDX-License-Identifier: GPL-2.0-or-later
"""Records the rates of an incident in a CSV file, one line a second at first."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.incidents.files import Files, add
from xdpctl.incidents.ledger import rule_slots
from xdpctl.model.incident import Incident

COLUMNS = ("time", "hit_pps", "hit_bps", "passed_pps", "dropped_pps")
_OFTEN, _SELDOM = 1.0, 10.0  # seconds between lines, for the first 600 lines and after them
_OFTEN_LINES, _LINES_MAX = 600, 4_000
_POINTS = 240  # maximum number of rows that read_rows returns


@dataclass(slots=True)
class _Counted:
    """The counters at the last line: hits of the incident; packets the host passed and dropped."""

    at: float
    packets: int
    bytes: int
    passed: int
    dropped: int
    lines: int = 0


class Meter:
    """Measures the rates of open incidents; call `step` often, it writes when a line is due."""

    def __init__(self, controller: Controller, files: Files) -> None:
        self._controller, self._files = controller, files
        self._last: dict[str, _Counted] = {}

    def step(self, now: float, incidents: list[Incident]) -> None:
        """Write the lines that are due for the open incidents; `now` is monotonic, in seconds."""
        self._last = {i.id: self._last[i.id] for i in incidents if i.id in self._last}
        due = [incident for incident in incidents if self._due(incident, now)]
        if due:
            passed, dropped = self._totals()
            for incident in due:
                self._line(incident, now, passed, dropped)

    def _due(self, incident: Incident, now: float) -> bool:
        last = self._last.get(incident.id)
        if last is None:
            return True
        pause = _OFTEN if last.lines < _OFTEN_LINES else _SELDOM
        return last.lines < _LINES_MAX and now - last.at >= pause

    def _totals(self) -> tuple[int, int]:
        """How many packets the host passed and dropped, on all interfaces."""
        sums = {"pass": 0, "drop": 0}
        for by_reason in self._controller.datapath.counters().values():
            for reason, hits in by_reason.items():
                sums[reason.verdict] += hits.packets
        return sums["pass"], sums["drop"]

    def _line(self, incident: Incident, now: float, passed: int, dropped: int) -> None:
        # Only rules that the record lists count: the hits of others are added all at once at
        # their end, which would show as a peak.
        listed = {rule.id: rule for rule in incident.rules if not rule.ended_at}
        slots = rule_slots.slots(self._controller.state, incident)
        totals = zip(slots.values(), self._controller.datapath.hits([*slots]), strict=True)
        hits = [listed[rule].since(total) for rule, total in totals]
        hits += [Hits(rule.packets, rule.bytes) for rule in incident.rules]
        packets, size = sum(each.packets for each in hits), sum(each.bytes for each in hits)
        last = self._last.get(incident.id)
        lines = last.lines + 1 if last else 0
        self._last[incident.id] = _Counted(now, packets, size, passed, dropped, lines)
        if last is None:
            return
        seconds = now - last.at
        rates = (
            (packets - last.packets) / seconds,
            8 * (size - last.bytes) / seconds,
            (passed - last.passed) / seconds,
            (dropped - last.dropped) / seconds,
        )
        path = self._files.rates(incident.id)
        head = "" if path.exists() else ",".join(COLUMNS) + "\n"
        unix = self._controller.clock.read().unix
        add(path, (head + ",".join(f"{value:.1f}" for value in (unix, *rates)) + "\n").encode())


def read_rows(path: Path) -> list[tuple[float, ...]]:
    """The rows of the file, with COLUMNS, reduced to at most 240; the peaks of hit_pps are kept."""
    if not path.is_file():
        return []
    rows: list[tuple[float, ...]] = []
    for line in path.read_text(errors="replace").splitlines()[1:]:
        cells = line.split(",")
        with suppress(ValueError):  # the last line may have been cut off
            row = tuple(map(float, cells))
            if len(row) == len(COLUMNS):
                rows.append(row)
    step = -(-len(rows) // _POINTS) or 1
    return [max(rows[at : at + step], key=lambda row: row[1]) for at in range(0, len(rows), step)]
