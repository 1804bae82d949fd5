# SPDX-License-Identifier: GPL-2.0-or-later
"""What rules and sets take up, with what a draft stages: places, addresses, shares of origins."""

from collections import Counter
from collections.abc import Iterable

from xdpctl.abi.constants import Constants
from xdpctl.abi.sizes import BITMAP_WORDS
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.state import State
from xdpctl.errors import CapacityError
from xdpctl.model.match.overlap import overlap
from xdpctl.model.quota import space
from xdpctl.model.rule import Rule, automatic

# How many limits and monitored rules may match one packet. Each takes one of
# SIGNATURE_STEPS_MAX steps, as does each word of the bitmap. Some are reserved for operators.
CROWD = Constants.SIGNATURE_STEPS_MAX - BITMAP_WORDS - 2
AUTOMATIC_CROWD = CROWD - 16
MODULE_CROWD = 12  # a packet may take 33 tail calls, of which each module needs two


class Counts:
    """Counts of a state, and of what is staged on top of it.

    `room` is how many more rules on sources fit, and `used` how many entries of a family are taken.
    """

    __slots__ = ("_covered", "_lengths", "_rules", "_state", "room", "used")

    def __init__(self, state: State) -> None:
        self._state = state
        self.room = state.room
        self.used = {family: state.used(family) for family in state.capacity}
        self._rules = dict(Counter(rule.origin for rule in list(state.matches.values())))
        self._covered: dict[tuple[str, int], int] = {}
        self._lengths: set[int] = set()

    def copy(self) -> "Counts":
        """Independent counts with the same numbers."""
        other = Counts.__new__(Counts)
        other._state, other.room, other.used = self._state, self.room, {**self.used}
        other._rules, other._covered = {**self._rules}, {**self._covered}
        other._lengths = {*self._lengths}
        return other

    def origins(self) -> frozenset[str]:
        """The origins that may have rules."""
        return frozenset((*list(self._state.origins), *self._rules))

    def of_origin(self, origin: str) -> int:
        """How many rules an origin has."""
        return self._state.origins[origin] + self._rules.get(origin, 0)

    def covered(self, family: int, origin: str | None = None) -> int:
        """How much of the address space the rules of an origin drop; None: of all detectors.

        In IPv4 addresses, or in /64s of IPv6.
        """
        both = self._state.covered, self._covered
        of_family = ((who, n) for counts in both for (who, of), n in counts.items() if of == family)
        return sum(n for who, n in of_family if origin in (None, who))

    def lengths(self, source: Prefix) -> set[int]:
        """The prefix lengths at which there may be rules of this source's family."""
        return self._lengths.union(self._state.lengths(source))

    def check_room(self) -> None:
        """CapacityError unless one more rule on a source fits."""
        if self.room < 1:
            raise CapacityError(
                f"the source table is full: {self._state.image.capacity} rules, its capacity. "
                "Nothing was applied. Remove rules, or raise capacity: xdpctl down, then start "
                "again."
            )

    def check_entries(self, family: int, more: int) -> None:
        """CapacityError unless `more` further entries of a family fit."""
        capacity, used = self._state.capacity[family], self.used[family]
        if more > 0 and used + more > capacity:
            raise CapacityError(
                f"the source table has room for {capacity:,} IPv{family} entries and has {used:,}; "
                f"{more:,} more do not fit, and nothing was applied. Remove some, aggregate, or "
                f"raise capacity_ipv{family}: xdpctl down, then start again."
            )

    def add_rules(self, origin: str, more: int) -> None:
        """Count more rules of an origin, or fewer."""
        self._rules[origin] = self._rules.get(origin, 0) + more

    def take_place(self, source: Prefix, more: int) -> None:
        """Count a rule on a source (1), or give back the place that a draft took (-1).

        CapacityError if there is no room.
        """
        if more > 0:
            self.check_room()
            self.check_entries(source.family, 1)
            self._lengths.add(source.length)
        self.room -= more
        self.used[source.family] += more

    def cover(self, source: Prefix, before: Rule | None, after: Rule | None) -> None:
        """Count how a change of the rule on a source changes the address space that is dropped."""
        for rule, sign in ((before, -1), (after, 1)):
            if rule:
                key = rule.origin, source.family
                self._covered[key] = self._covered.get(key, 0) + sign * space(rule)


def check_crowd(rule: Rule, rules: Iterable[Rule]) -> None:
    """CapacityError if too many rules may match the same packet as the new rule.

    The kernel program compares a packet with a limited number of rules that let it pass. A new
    rule may overlap fewer rules than that number, so no packet can match more.
    """
    others = (o for o in rules if o.lets_pass and o.match != rule.match)
    # a packet with another payload is compared, too, and goes on
    headers = rule.match.headers
    met = [other for other in others if overlap(headers, other.match.headers)]
    asked = sum(other.match.get("module") is not None for other in met)
    if rule.match.get("module") and asked >= MODULE_CROWD:
        raise CapacityError(
            f"{asked} rules with modules may match the same packet as {rule.match}; the maximum is "
            f"{MODULE_CROWD}. Nothing was applied. Let one module do the work of several, or name "
            "destinations, so that they do not overlap."
        )
    crowd = len(met)
    most = AUTOMATIC_CROWD if automatic(rule) else CROWD
    if crowd >= most:
        raise CapacityError(
            f"{crowd} limits, monitored rules and rules with a payload or a module may match the "
            f"same packet as {rule.match}; the maximum is {most}. Nothing was applied. Remove "
            "some, or name destinations, so that they do not overlap."
        )
