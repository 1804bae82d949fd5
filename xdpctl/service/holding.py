# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what attacks is held, in one word and with reasons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xdpctl.base.units import si3
from xdpctl.service.loader_report import LoaderReport
from xdpctl.service.readiness import runs
from xdpctl.traffic.unusual import Look

_MANY = 1_000.0  # packets a second: less is no flood
_LEFT = 0.2  # of what passed before: if less passes now, a rule may be too wide
_SOME = 100.0  # packets a second before, of which this is said


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
    look: Look, bypass: bool, loader: LoaderReport | None, full: Sequence[str] = ()
) -> Holding:
    """Not held: what should filter does not, more passes than usual, or an uplink is full.

    `full` says which uplinks are: what is dropped behind a full one was not held. Unclear: it
    cannot be known, or hardly anything passes of what did.
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
    return Holding(State.HELD, ["nothing unusual passes", *beside])


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
