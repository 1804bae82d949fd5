# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what attacks is held, in one word and with reasons."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xdpctl.base.units import si3
from xdpctl.model.collateral import Collateral
from xdpctl.model.finding import Finding
from xdpctl.model.rule import Action, Mode
from xdpctl.model.signature import CHALLENGES, Signature, automatic
from xdpctl.service.loader_report import LoaderReport
from xdpctl.service.readiness import runs
from xdpctl.traffic.unusual import Look

_MANY = 1_000.0  # packets a second: less is no flood
_LEFT = 0.2  # of what passed before: if less passes now, a rule may be too wide
_SOME = 100.0  # packets a second before, of which this is said
_HITS = 10.0  # packets a second of a rule
_FEW = 0.05  # people at most, among the sources that a rule hits


class State(StrEnum):
    """The word."""

    HELD = "held"
    NOT_HELD = "not_held"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Holding:
    """The word, and sentences that say why."""

    state: State
    reasons: Sequence[str]


def holding(
    look: Look,
    bypass: bool,
    loader: LoaderReport | None,
    full: Sequence[str] = (),
    doubts: Sequence[str] = (),
) -> Holding:
    """Not held: what should filter does not, more passes than usual, or an uplink is full.

    `full` says which uplinks are: what is dropped behind a full one was not held. Unclear: it
    cannot be known, hardly anything passes of what did, or there are `doubts` that people are
    served.
    """
    accepted = [f"{si3(look.accepted)} packets/s pass because rules accept them"]
    beside = accepted if look.accepted >= _MANY else []
    if broken := [*_broken(bypass, loader), *full]:
        return Holding(State.NOT_HELD, broken)
    if unknown := list(_unknown(look, loader)):
        return Holding(State.UNCLEAR, unknown + beside)
    told = _told(look)
    if not look.compared and told:
        return Holding(State.UNCLEAR, ["no earlier traffic is known to compare with", *told])
    if told:
        return Holding(State.NOT_HELD, told + beside)
    if look.before >= _SOME and look.rate < _LEFT * look.before:
        rates = f"{si3(look.rate)} packets/s pass, and {si3(look.before)} did before"
        return Holding(State.UNCLEAR, [f"{rates}: a rule may be too wide", *beside])
    if doubts:
        return Holding(State.UNCLEAR, [*doubts, *beside])
    return Holding(State.HELD, ["nothing unusual passes", *beside])


def unproven(
    rules: Iterable[Signature],
    findings: Mapping[str, Finding],
    rates: Mapping[int, float],
    collateral: Mapping[str, Collateral],
) -> list[str]:
    """Detectors' rules that hit packets of which nothing but their number shows an attack.

    `findings` and `collateral` are by the ids of rules, `rates` packets a second by their slots. A
    challenge lets people in. What is measured goes before what is only supposed.
    """
    found = []
    for rule in rules:
        if not automatic(rule) or rule.mode is not Mode.ENFORCE or rule.action in CHALLENGES:
            continue
        rate, finding = rates.get(rule.slot, 0.0), findings.get(rule.id)
        whom = collateral.get(rule.id)
        if whom and whom.hurts:
            found.append(f"a {rule.action} of {rule.origin} hits people: {whom}, {rule.match}")
            continue
        proven = rule.action is Action.DROP and finding is not None and finding.because
        if rate >= _HITS and not proven and not (whom and whom.high <= _FEW):
            found.append(
                f"a {rule.action} of {rule.origin} hits {si3(rate)} packets/s of {rule.match} "
                "that are not proven to be an attack: people may be among them"
            )
    return found


def _told(look: Look) -> list[str]:
    """What passes and is more than it was."""
    many = [each for each in look.matches if each.packets >= _MANY and each.is_more]
    if many:
        return [f"{si3(each.packets)} packets/s of {each.match} pass" for each in many]
    if look.rate < _MANY or look.rate <= 2 * look.before:
        return []
    before = f", and {si3(look.before)} did before" if look.compared else ""
    return [f"{si3(look.rate)} packets/s pass{before}; no single match explains them"]


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
