# SPDX-License-Identifier: GPL-2.0-or-later
"""Many rules in one draft: lines are added one by one, and removals are all or none."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.guards.connections import ImportGuard
from xdpctl.control.operations import rules
from xdpctl.control.operations.bulk_parser import Line
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, RuleError
from xdpctl.model import policy
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.requests import WIDEST_DROP, RuleRequest
from xdpctl.model.rule import Rule

_REJECTS_SHOWN = 1000
_ALONE = "if that is intended, add it as a single rule: xdpctl block"
_NAMED = 20  # rules that an audit record names


@dataclass(slots=True)
class Imported:
    """The result of an import: counts, and the refused lines with the reasons."""

    added: int = 0
    extended: int = 0
    rejected: int = 0
    rejects: list[dict[str, str | int]] = field(default_factory=list)

    def reject(self, line: int, text: str, error: RuleError) -> None:
        """Count a refused line; the first 1,000 are kept, each cut to 200 characters."""
        self.rejected += 1
        if len(self.rejects) < _REJECTS_SHOWN:
            self.rejects.append(
                {"line": line, "text": text[:200], "error": str(error), "fix": error.fix}
            )

    def absorb(self, other: "Imported") -> None:
        """Add the counts and the refused lines of another result."""
        self.added += other.added
        self.extended += other.extended
        self.rejected += other.rejected
        self.rejects += other.rejects[: _REJECTS_SHOWN - len(self.rejects)]


def _refuse_wide(ask: RuleRequest) -> None:
    """RuleError if one line of a feed would drop a large part of the internet."""
    source = ask.match.source_only
    if source is None or (ask.by_source is None and ask.spares is not Spare.NONE):
        return
    if (ask.action, ask.mode) != (Action.DROP, Mode.ENFORCE):
        return
    widest = WIDEST_DROP[source.family]
    if source.length < widest:
        raise RuleError(
            f"{source} is wider than /{widest}, too wide for a drop in a list",
            "match.source",
            _ALONE,
        )


def add_many(
    draft: Draft,
    lines: Iterable[Line],
    caller: Caller,
    source: str,
    guard: ImportGuard | None = None,
    created: Callable[[Rule], object] = lambda rule: None,
) -> Imported:
    """Add the rules of these lines (number, text, outcome); refused ones are reported.

    `source` names the list in the audit log. `guard` checks each line; the default checks only
    whether it cuts off people. `created` is called with each new rule.
    """
    result, guard = Imported(), guard or ImportGuard(Peers(), caller)
    for line, text, ask in lines:
        try:
            if isinstance(ask, RuleError):
                raise ask
            _refuse_wide(ask)
            stage = rules.place if ask.by_source else rules.add
            added = guard.take(draft, ask.match.source, _ALONE, stage, ask, caller)
        except RuleError as error:
            result.reject(line, text, error)
        except CapacityError as error:
            result.reject(line, text, RuleError(str(error), "", "see capacity"))
        else:
            result.added += added.created
            result.extended += not added.created
            if added.created:
                created(added.rule)
    if result.added or result.extended:
        counts = {"added": result.added, "extended": result.extended}
        draft.note(caller.name, "rule.import", source, **counts, rejected=result.rejected)
    return result


def matching(draft: Draft, wanted: Callable[[Rule], bool]) -> list[Rule]:
    """The live rules for which `wanted` is true."""
    return [rule for rule in draft.all_rules() if wanted(rule)]


def remove_many(
    draft: Draft,
    wanted: Callable[[Rule], bool],
    caller: Caller,
    expected: int | None,
    ended: Callable[[Rule], None],
) -> list[Rule]:
    """Remove all rules that match; `ended` is called with each.

    ConflictError unless there are `expected` of them; RoleError if one belongs to another origin.
    """
    selected = matching(draft, wanted)
    if expected is not None and len(selected) != expected:
        raise ConflictError(
            f"{len(selected)} rules match now, not {expected}; nothing was removed",
            "count",
            "look again at what matches, and confirm that number",
        )
    for rule in selected:
        policy.check_change(rule, caller.origin, None)
    for rule in selected:
        ended(rule)
        draft.remove(rule)
    if selected:
        first = [rule.id for rule in selected[:_NAMED]]
        draft.note(caller.name, "rule.remove-many", "", rules=len(selected), first=first)
    return selected
