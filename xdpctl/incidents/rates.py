# SPDX-License-Identifier: GPL-2.0-or-later
"""Records the rates of an incident in a CSV file, one line a second at first."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.errors import RuleError
from xdpctl.incidents.files import Files, add
from xdpctl.incidents.ledger import attribution
from xdpctl.model.incident import Incident
from xdpctl.traffic.service_figures import Newcomers

_MEASURED = ("time", "hit_pps", "hit_bps", "passed_pps", "dropped_pps")
# newcomers a minute that get in at the victim, and their usual number; empty: not known
COLUMNS = (*_MEASURED, "newcomers", "usual_newcomers")
Row = tuple[float | None, ...]  # with COLUMNS
NewcomersOf = Callable[[Prefix | None], Newcomers | None]
_OFTEN, _SELDOM = 1.0, 10.0  # seconds between lines, for the first 600 lines and after them
_OFTEN_LINES, _LINES_MAX = 600, 4_000
_POINTS = 240  # maximum number of rows that read_rows returns


@dataclass(slots=True)
class _Counted:
    """The counters at the last line: hits of the incident; packets the host passed or dropped."""

    at: float
    packets: int
    bytes: int
    passed: int
    dropped: int
    lines: int = 0


class Meter:
    """Measures the rates of open incidents; call `step` often, it writes when a line is due."""

    def __init__(self, controller: Controller, files: Files, newcomers: NewcomersOf) -> None:
        self._controller, self._files, self._newcomers = controller, files, newcomers
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
        # Only rules that the record lists count. The hits of other rules are added all at once when
        # these end, which would show as a peak.
        listed = {rule.id: rule for rule in incident.rules if not rule.ended_at}
        slots = attribution.slots(self._controller.state, incident)
        totals = zip(slots.values(), self._controller.datapath.hits([*slots]), strict=True)
        hits = [listed[rule].since(total) for rule, total in totals]
        hits += [Hits(rule.packets, rule.bytes) for rule in incident.rules]
        packets, size = sum(part.packets for part in hits), sum(part.bytes for part in hits)
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
        add(path, (head + _cells((unix, *rates, *self._served(incident))) + "\n").encode())

    def _served(self, incident: Incident) -> tuple[float | None, float | None]:
        victim = victim_of(incident)
        newcomers = self._newcomers(victim) if victim else None
        return (newcomers.now, newcomers.usual) if newcomers else (None, None)


def victim_of(incident: Incident) -> Prefix | None:
    """The victim of an incident; None if a detector named sources."""
    try:
        return parse_prefix(incident.subject)
    except RuleError:
        return None


def _cells(row: Row) -> str:
    return ",".join("" if value is None else f"{value:.1f}" for value in row)


def read_rows(path: Path) -> list[Row]:
    """The rows of the file, with COLUMNS, reduced to at most 240.

    The peaks of hit_pps are kept, and the fewest newcomers.
    """
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line in path.read_text(errors="replace").splitlines()[1:]:
        cells = line.split(",")
        with suppress(ValueError):  # the last line may have been cut off
            row = (*map(float, cells[: len(_MEASURED)]), *map(_known, cells[len(_MEASURED) :]))
            if len(row) == len(COLUMNS):
                rows.append(row)
    step = -(-len(rows) // _POINTS) or 1
    return [_one(rows[at : at + step]) for at in range(0, len(rows), step)]


def _known(cell: str) -> float | None:
    return float(cell) if cell else None


def _one(rows: list[Row]) -> Row:
    newcomers, known = COLUMNS.index("newcomers"), [row for row in rows if row[-1] is not None]
    fewest = min(known, key=lambda row: row[newcomers] or 0.0, default=rows[0])
    return (*max(rows, key=lambda row: row[1] or 0.0)[:newcomers], *fewest[newcomers:])
