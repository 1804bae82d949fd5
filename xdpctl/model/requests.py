# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests for rules, with all the checks that need no clock."""

from collections.abc import Iterable

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import Match
from xdpctl.model.names import check_name
from xdpctl.model.rate import Rate
from xdpctl.model.rule import CONFIRM_MAX, TTL_MAX, in_source_table, sparing

# By family. A drop of a wider prefix is refused in a list; a single one must be meant.
WIDEST_DROP = {4: 8, 6: 16}


class RuleRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for a rule; times are seconds from now, None for no end.

    `spare` None: see `model.rule.sparing`. `rank`: see `model.rule.Rule`. RuleError if a field is
    not valid.
    """

    match: Match
    action: Action = Action.DROP
    mode: Mode = Mode.ENFORCE
    ttl: float | None = None
    confirm_within: float | None = None
    reason: str = ""
    tags: tuple[str, ...] = ()
    spare: Spare | None = None
    limit: Rate | None = None
    priority: int = 0
    rank: str = ""
    replace: bool = False  # replace the rule on the match instead of extending it
    force: bool = False  # accept even an unusually wide drop

    def __post_init__(self) -> None:
        check_seconds(self.ttl, "ttl", TTL_MAX)
        check_seconds(self.confirm_within, "confirm_within", CONFIRM_MAX)
        check_tags(self.tags)

    @property
    def spares(self) -> Spare:
        """Whom the rule is to spare."""
        if self.spare is not None:
            return self.spare
        return sparing(self.match, self.action, self.limit, self.priority)

    @property
    def by_source(self) -> Prefix | None:
        """The source, if the rule will be in the table of sources; else None."""
        return in_source_table(self.match, self.action, self.spare or Spare.NONE, self.priority)


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags, or RuleError for one that is not a name."""
    return tuple(check_name(tag, "tags") for tag in tags)


def check_seconds(value: float | None, field: str, most: float) -> None:
    """RuleError unless the value is None, or above 0 and at most `most`."""
    if value is not None and not 0 < value <= most:
        raise RuleError(
            f"{field} cannot be {value:,.15g} seconds",
            field,
            f"give more than 0 and at most {most:,.0f} seconds",
        )
