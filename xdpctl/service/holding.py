# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what attacks is held, in one word and with reasons. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xdpctl.base.units import si3
from xdpctl.service.loader_report import LoaderReport
from xdpctl.traffic.unusual import Look

_MANY = 1_000.0  # packets a second: less is no flood


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


def holding(look: Look, bypass: bool, loader: LoaderReport | None) -> Holding:
    """Not held: what should filter does not, or more passes than usual. Unclear: nothing earlier
    is known that the traffic could be compared with.
    """
    broken = list(_broken(bypass, loader))
    if broken:
        return Holding(State.NOT_HELD, broken)
    many = [each for each in look.matches if each.packets >= _MANY and each.is_more]
    if not many:
        return Holding(State.HELD, ["nothing unusual passes"])
    told = [f"{si3(each.packets)} packets/s of {each.match} pass" for each in many]
    if look.compared:
        return Holding(State.NOT_HELD, told)
    return Holding(State.UNCLEAR, ["no earlier traffic is known to compare with", *told])


def _broken(bypass: bool, loader: LoaderReport | None) -> Iterator[str]:
    if bypass:
        yield "the bypass is on: everything passes"
    if loader is None:
        yield "there is no report of the loader: whether the filter is attached is not known"
        return
    for name, port in loader.ports.items():
        if port.get("state") != "attached":
            yield f"{name} is not filtered: {port.get('detail') or port.get('state')}"
