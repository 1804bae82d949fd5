# SPDX-License-Identifier: GPL-2.0-or-later
"""The condition of a host in one word, with reasons: are attacks held, are people served."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.units import si3
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import CHALLENGES, Action, Mode
from xdpctl.model.finding import Finding
from xdpctl.model.match.words import in_words
from xdpctl.model.rule import Rule, automatic, of_tcp, on_trial
from xdpctl.traffic.service_figures import Newcomers
from xdpctl.traffic.unusual import Look
from xdpctl.watch.loader_report import LoaderReport
from xdpctl.watch.readiness import runs
from xdpctl.watch.waiting import Waiting

_MANY = 1_000.0  # packets a second: less is no flood
_LEFT = 0.2  # of what passed before: if less passes now, a rule may be too wide
_SOME = 100.0  # packets a second before, for that comparison
_LOST = 100.0  # packets a second before the filter: fewer are no overload
_HITS = 10.0  # packets a second of a rule
_NOUNS = {Action.COOKIES: "challenge"}
_FEW = 0.05  # people at most, among the sources that a rule hits


class State(StrEnum):
    QUIET = "quiet"
    HOLDING = "holding"
    HURTING = "hurting"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Condition:
    """The word, sentences that say why, and what waits for a decision."""

    state: State
    reasons: Sequence[str]
    waiting: Sequence[Waiting] = ()


@dataclass(frozen=True, slots=True)
class People:
    """Sentences about people: who is hit, what is uncertain, and what is kept out for them.

    `passing` is about attacks that detectors found and only count.
    """

    hurt: Sequence[str] = ()
    doubts: Sequence[str] = ()
    held: Sequence[str] = ()
    passing: Sequence[str] = ()


NOBODY = People()


def condition(
    look: Look,
    bypass: bool,
    loader: LoaderReport | None,
    full: Sequence[str] = (),
    people: People = NOBODY,
) -> Condition:
    """The condition, by what passes and what the rules do to people.

    Hurting: people are hit, more passes than usual, a detector only counts an attack, the filter
    does not work, or packets are lost before it: `full` says which uplinks are full, and whether
    this host is overloaded. Unclear: it cannot be known, much less passes than before, or nobody
    measured whom a rule hits. Holding: rules keep much out, or detectors' rules anything, and
    people get in. Quiet: there is nothing to do.
    """
    beside = list(_beside(look))
    if broken := [*_broken(bypass, loader), *full]:
        return Condition(State.HURTING, broken)
    if unknown := list(_unknown(look, loader)):
        return Condition(State.UNCLEAR, unknown + beside)
    if people.hurt or people.passing:
        return Condition(State.HURTING, [*people.hurt, *people.passing, *beside])
    unusual = _told(look)
    if not look.compared and unusual:
        return Condition(State.UNCLEAR, ["no earlier traffic is known to compare with", *unusual])
    if unusual:
        return Condition(State.HURTING, unusual + beside)
    if look.before >= _SOME and look.rate < _LEFT * look.before:
        rates = f"{si3(look.rate)} packets/s pass, and {si3(look.before)} did before"
        return Condition(State.UNCLEAR, [f"{rates}: a rule may be too wide", *beside])
    if people.doubts:
        return Condition(State.UNCLEAR, [*people.doubts, *beside])
    if people.held:
        return Condition(State.HOLDING, [*people.held, *beside])
    return Condition(State.QUIET, ["nothing unusual passes", *beside])


def _beside(look: Look) -> Iterator[str]:
    """What is worth knowing and changes no word."""
    if look.accepted >= _MANY:
        yield f"{si3(look.accepted)} packets/s pass because rules accept them"
    known, before = look.rate - look.unknown, look.before - look.unknown_before
    if look.compared and known >= _MANY and known > 2 * before:
        yield f"{si3(known)} packets/s of known flows pass, and {si3(before)} did before"


def people_of(
    rules: Iterable[Rule],
    findings: Mapping[str, Finding],
    rates: Mapping[int, float],
    collateral: Mapping[str, Collateral],
    newcomers: Callable[[Prefix | None], Newcomers | None],
) -> People:
    """What rules do to people: detectors' rules, and operators' that are on trial or hit much.

    `findings` and `collateral` are by the ids of rules, `rates` packets a second by their slots. A
    challenge lets people in. Measurements take precedence over assumptions.
    """
    hurt, doubts, held = list[str](), list[str](), list[str]()
    came: dict[str, None] = {}
    for rule in rules:
        rate, whom = rates.get(rule.slot, 0.0), collateral.get(rule.id)
        least = _HITS if automatic(rule) or on_trial(rule) else _MANY
        if rule.mode is not Mode.ENFORCE or rate < least:
            continue
        if whom and whom.hurts:
            hurt.append(
                f"a {rule.action} of {rule.origin} hits people: {whom}, {in_words(rule.match)}"
            )
        arrivals = newcomers(rule.match.get("destination"))
        by_a_person = not automatic(rule) or tags.PINNED in rule.tags
        get_in = of_tcp(rule) and arrivals is not None and arrivals.now >= arrivals.usual / 2
        if not _harmless(rule, findings.get(rule.id), whom) and not (by_a_person and get_in):
            if not automatic(rule) and not on_trial(rule):
                continue  # nothing is measured of what an operator keeps out for good
            if not (whom and whom.hurts):
                doubts.append(_doubt(rule, rate))
        measured = f"; {whom}" if whom and whom.sources else ""
        held.append(f"{si3(rate)} packets/s of {in_words(rule.match)} are kept out{measured}")
        if arrivals:
            came[str(arrivals)] = None
    return People(hurt, doubts, [*came, *held])


def _doubt(rule: Rule, rate: float) -> str:
    return (
        f"{si3(rate)} packets/s of {in_words(rule.match)} are kept out by a {rule.action} of "
        f"{rule.origin}; they are not proven to be an attack: people may be among them"
    )


def passing(waiting: Iterable[Waiting]) -> list[str]:
    """Sentences about attacks that pass because detectors only count them."""
    return [
        f"{si3(each.rate)} packets/s of {in_words(each.rule.match)} pass: the detector only counts "
        f"them, and proposes a {_NOUNS.get(each.proposed, each.proposed)}"
        for each in waiting
        if each.rate >= _MANY
    ]


def _harmless(rule: Rule, finding: Finding | None, whom: Collateral | None) -> bool:
    """Whether a rule lets people in, is measured to hit few, or rests on proof."""
    proven = rule.action is Action.DROP and finding is not None and bool(finding.because)
    few = whom is not None and whom.high <= _FEW and of_tcp(rule)
    return rule.action in CHALLENGES or proven or few


def overload(figures: Mapping[str, float | None]) -> list[str]:
    """A sentence if the newest figures of the host show packets that are lost before the filter."""
    lost, busy = figures.get("driver_drops") or 0.0, figures.get("softirq")
    if lost < _LOST:
        return []
    share = f"; {busy:.0%} of the CPUs' time is spent in soft interrupts" if busy else ""
    return [
        f"{si3(lost)} packets/s are lost before the filter sees them: the card or the CPUs are "
        f"overloaded{share}"
    ]


def _told(look: Look) -> list[str]:
    """The traffic that passes and has grown; what known flows send is people's."""
    many = [match for match in look.matches if match.packets >= _MANY and match.is_more]
    if many:
        return [f"{si3(match.packets)} packets/s of {in_words(match.match)} pass" for match in many]
    if look.unknown < _MANY or look.unknown <= 2 * look.unknown_before:
        return []
    before = f", and {si3(look.unknown_before)} did before" if look.compared else ""
    what = f"{si3(look.unknown)} packets/s that belong to no known flow pass{before}"
    return [f"{what}; no single match explains them"]


def _broken(bypass: bool, loader: LoaderReport | None) -> Iterator[str]:
    if bypass:
        yield "the bypass is on: everything passes"
    if loader and not loader.ports:
        yield "no interface is filtered"
    for name, port in loader.ports.items() if loader else ():
        if port.get("state") != "attached":
            yield f"{name} is not filtered: {port.get('detail') or port.get('state')}"


def _unknown(look: Look, loader: LoaderReport | None) -> Iterator[str]:
    if loader is None or loader.silent or not runs(loader.pid):
        yield "the loader does not report, so whether the filter is still attached is not known"
    if not look.seconds:
        yield "the traffic is not observed"
