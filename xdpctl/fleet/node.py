# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node publishes about itself, and what other nodes see of it. Pure.

A card says who a node is; a report, when there is news and every ten seconds, how it is. A key with
a lease of some seconds says that it is alive. These are read within bounds: whoever
stole a node's certificate can write anything about that node, and nothing about another one.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median_high

import msgspec
from msgspec import structs

from xdpctl.base.text import printable
from xdpctl.errors import RuleError
from xdpctl.fleet import keys
from xdpctl.fleet.engine.values import Held
from xdpctl.model.names import check_name

_BYTES_MAX, _SHOWN, _TEXT = 32 << 10, 20, 300
_AHEAD, _SUM = 100, 16  # revisions, and characters of a digest
_LAST = 253_402_300_799.0  # Unix time at the end of the year 9999
_NUMBERS = re.compile(r"[0-9][0-9.,]*")
SILENT_SECONDS = 3.0  # after which a node that is not heard of counts as cut off


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who a node is: its groups, and where other nodes reach it (`HOST:PORT`; "": nowhere)."""

    groups: tuple[str, ...] = ()
    address: str = ""
    since: float = 0.0  # Unix time at which it joined


class Digest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node has of the fleet's intents: a sum of hashes, and the newest revision of one.

    `position` is the engine's revision up to which it had followed then.
    """

    sum: str = ""
    newest: int = 0
    position: int = 0


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a node is. `applied` is the engine's revision up to which it has taken intents over.

    `ahead` has later revisions that it has taken over already, since they are urgent.
    `refused` has intents that it does not apply, with the reasons; `refusals` counts all of them.
    `armed` has how many packets the rules of other nodes' detectors have hit here, by node.
    """

    at: float
    version: str = ""
    applied: int = 0
    ahead: tuple[int, ...] = ()
    unsent: int = 0
    rules: int = 0
    sets: int = 0
    matches: int = 0
    refusals: int = 0
    refused: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()
    bypass: bool = False
    passive: bool = False  # somebody switched its detectors off, or to observing
    held: str = ""
    incidents: int = 0
    expires: float = 0.0  # Unix time at which its certificate ends
    armed: Mapping[str, int] = {}
    digest: Digest = Digest()
    rollouts: tuple[str, ...] = ()  # what it tries before other nodes have it

    def has(self, revision: int, alone: bool = False) -> bool:
        """Whether the node has taken over all up to a revision; no node has 0.

        With `alone` it is enough that it has that revision: the change is one intent.
        """
        return 0 < revision <= self.applied or (alone and revision in self.ahead)


encode = msgspec.json.Encoder().encode
_cards, _reports = msgspec.json.Decoder(Card), msgspec.json.Decoder(Report)


def card_of(value: bytes) -> Card:
    """A node's card; an empty one if it cannot be read."""
    try:
        return _plain_card(_cards.decode(value[:_BYTES_MAX]))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Card()


def of_note(report: Report) -> Report:
    """What of a report is news; times, counters and numbers in sentences are not."""
    return structs.replace(
        report,
        at=0.0,
        armed={},
        problems=tuple(_NUMBERS.sub("", problem) for problem in report.problems),
        rollouts=tuple(_NUMBERS.sub("", text) for text in report.rollouts),
        digest=structs.replace(report.digest, position=0),
    )


def shown(texts: Mapping[str, str]) -> dict[str, str]:
    """The newest of some texts, shortened."""
    return {key[:_TEXT]: text[:_TEXT] for key, text in list(texts.items())[-_SHOWN:]}


def _plain(report: Report) -> Report:
    """A report within its bounds."""
    return structs.replace(
        report,
        version=printable(report.version, _TEXT),
        held=printable(report.held, _TEXT),
        refused={
            printable(k, _TEXT): printable(v, _TEXT)
            for k, v in list(report.refused.items())[:_SHOWN]
        },
        problems=tuple(printable(problem, _TEXT) for problem in report.problems[:_SHOWN]),
        rollouts=tuple(printable(text, _TEXT) for text in report.rollouts[:_SHOWN]),
        applied=_revision(report.applied),
        ahead=tuple(map(_revision, report.ahead[:_AHEAD])),
        digest=Digest(
            printable(report.digest.sum, _SUM),
            _revision(report.digest.newest),
            _revision(report.digest.position),
        ),
        armed=dict(list(report.armed.items())[:_SHOWN]),
        expires=min(max(report.expires, 0.0), _LAST),
        at=min(max(report.at, 0.0), _LAST),
    )


def _report(value: bytes | None) -> Report | None:
    """A report within its bounds; None if it cannot be read: the node is shown as silent."""
    if value is None or len(value) > _BYTES_MAX:
        return None
    try:
        return _plain(_reports.decode(value))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _revision(number: int) -> int:
    """A revision of etcd, which has 63 bits."""
    return min(max(number, 0), (1 << 63) - 1)


def _plain_card(card: Card) -> Card:
    groups = tuple(printable(group, _TEXT) for group in card.groups[:_SHOWN])
    since = min(max(card.since, 0.0), _LAST)
    return Card(groups, printable(card.address, _TEXT), since)


@dataclass(slots=True)
class Seen:
    """A node as this one sees it. `heard` is when it was last alive (monotonic; 0: never).

    `gone`: its lease has ended.
    """

    name: str
    card: Card = field(default_factory=Card)
    report: Report | None = None
    heard: float = 0.0
    revision: int = 0
    gone: bool = False

    def hear(self, report: Report, revision: int, now: float) -> None:
        """Take over a report, unless it is known."""
        if revision != self.revision:
            self.report, self.revision, self.heard = report, revision, now

    def silent(self, now: float) -> float:
        """Seconds since the node was known to be alive; infinite if it never was."""
        return now - self.heard if self.heard else float("inf")

    def live(self, now: float) -> bool:
        return not self.gone and self.silent(now) <= SILENT_SECONDS


class Nodes:
    """All nodes of the fleet, by name, from what the engine has of them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Seen] = {}
        self.looked = 0.0  # monotonic time of the last reading; silence counts up to then

    @property
    def revision(self) -> int:
        """The revision that most nodes have taken over: a single one may claim anything."""
        reports = (node.report for node in list(self.by_name.values()))
        applied = [report.applied for report in reports if report]
        return median_high(applied) if applied else 0

    def update(self, changes: Iterable[Held], now: float) -> None:
        """Take over the reports among some changes; other keys wait for the next reading of all."""
        self.looked = now
        for known in self.by_name.values():
            if known.heard and not known.gone:
                known.heard = now
        for kv in changes:
            name, _, part = kv.key.removeprefix(keys.NODES).partition("/")
            node = self.by_name.get(name)
            if part == "report" and node and (report := _report(kv.value)):
                node.hear(report, kv.revision, now)
            elif part == "alive" and node:
                node.gone = kv.value is None

    def take(self, kvs: Iterable[Held], now: float) -> None:
        """Take over all keys below `nodes/`; a node without a card is not in the fleet."""
        self.looked = now
        cards: dict[str, Card] = {}
        reports: dict[str, tuple[int, Report]] = {}
        alive = set[str]()
        for kv in kvs:
            name, _, part = kv.key.removeprefix(keys.NODES).partition("/")
            if not _is_name(name) or kv.value is None or len(kv.value) > _BYTES_MAX:
                continue
            if part == "report" and (report := _report(kv.value)):
                reports[name] = kv.revision, report
            elif part == "alive":
                alive.add(name)
            elif part == "card":
                with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                    cards[name] = _plain_card(_cards.decode(kv.value))
        for name in self.by_name.keys() - cards.keys():
            del self.by_name[name]
        for name, card in cards.items():
            node = self.by_name.setdefault(name, Seen(name))
            node.card = card
            if name in reports:
                revision, report = reports[name]
                node.hear(report, revision, now)
            node.gone = name not in alive
            if node.heard and not node.gone:
                node.heard = now


def _is_name(name: str) -> bool:
    try:
        check_name(name, "node")
    except RuleError:
        return False
    return True
