# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists rules, filtered and page by page."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Literal

import msgspec
from pydantic import BaseModel, Field

from xdpctl.base.net.prefix import Prefix, order, parse_prefix
from xdpctl.control.match_sync import ordered
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match import text
from xdpctl.model.match.match import id_of, key_named
from xdpctl.model.match.precedence import Key, precedence
from xdpctl.model.names import parse_rule_id
from xdpctl.model.rule import STANDING, Rule
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.traffic.top import rates_by_slot
from xdpctl_api.paging import CURSOR_TEXT, misread
from xdpctl_api.shapes.common import Strict, seconds
from xdpctl_api.shapes.fleet import FOR_WHOM, ForWhom
from xdpctl_api.shapes.rules import rule_out

_SIGNED = "m;"  # prefix of cursors among other matches, which follow the rules on sources
_RATE_SECONDS = 10.0
_CURSOR = re.compile(r"(-?[0-9]{1,5});([01]);([0-9a-f~]{0,8000});(.{1,4000})")


class Filters(Strict):
    """The filters of a listing."""

    action: Action | None = None
    mode: Mode | None = None
    origin: str | None = None
    tag: str | None = None
    within: str | None = Field(default=None, description="Only rules inside this prefix")
    covering: str | None = Field(default=None, description="Only rules that cover this prefix")
    to: str | None = Field(
        default=None,
        description="Only rules whose match has a destination that covers this prefix or is in it",
    )
    since: str | None = Field(default=None, description="Only rules added within this time: 10m")
    provisional: bool | None = Field(
        default=None, description="Only rules that wait to be confirmed; false: only others"
    )
    begins: str | None = Field(
        default=None, max_length=64, description="Only rules whose id or source begins with this"
    )

    def test(self, unix: float) -> Callable[[Rule], bool]:
        """The filter as a function, with its prefixes parsed once; `unix` is the current time."""
        inside = parse_prefix(self.within, "within") if self.within is not None else None
        around = parse_prefix(self.covering, "covering") if self.covering is not None else None
        towards = parse_prefix(self.to, "to") if self.to is not None else None
        age = seconds(self.since, "since")
        begins = self.begins.replace("/", "_") if self.begins else None
        return lambda rule: (
            (self.action is None or rule.action is self.action)
            and (self.mode is None or rule.mode is self.mode)
            and (self.origin is None or rule.origin == self.origin)
            and (self.tag is None or self.tag in rule.tags)
            and (begins is None or rule.id.startswith(begins))
            and (inside is None or (rule.source is not None and inside.covers(rule.source)))
            and (around is None or (rule.source is not None and rule.source.covers(around)))
            and (towards is None or _meets(rule.match.get("destination"), towards))
            and (self.provisional is None or bool(rule.confirm_by_ns) is self.provisional)
            and (age is None or rule.created_at >= unix - age)
        )


def _meets(prefix: Prefix | None, other: Prefix) -> bool:
    return prefix is not None and (prefix.covers(other) or other.covers(prefix))


class ListQuery(Filters):
    """A page of a listing."""

    limit: int = Field(default=100, ge=1, le=10_000)
    cursor: str | None = Field(default=None, max_length=12_300, description=CURSOR_TEXT)
    sort: Literal["address", "hits", "rate"] = Field(
        default="address",
        description="hits: the rules that hit most since they were added; rate: those that hit "
        "most in the last ten seconds. Both on one page",
    )


_ABOUT = {"all", "dry_run", "force", "count"} | FOR_WHOM


class RemovalQuery(Filters, ForWhom):
    """Which rules to remove. Configured limits stay, unless their origin is given."""

    id: list[str] = Field(default=[], max_length=1_000, description="Only rules with these ids")
    all: bool = Field(default=False, description="Every rule; needed if there is no other filter")
    dry_run: bool = False
    force: bool = Field(
        default=False,
        description="Also if most of this host's connections would be cut off without them",
    )
    count: int | None = Field(default=None, ge=0, description="How many rules match")

    def test(self, unix: float) -> Callable[[Rule], bool]:
        """The filter as a function; RuleError if the filters or the count are missing."""
        if not self.all and not self.model_fields_set - _ABOUT:
            raise RuleError("nothing says which rules", "all", "give a filter, or all=true")
        if not self.dry_run and self.count is None:
            raise RuleError("no count", "count", "read it with dry_run=true, then give it")
        wanted, origin = Filters.test(self, unix), self.origin
        ids = frozenset(id_of(key_named(identity)) for identity in self.id)
        return lambda rule: (
            (not ids or rule.id in ids)
            and (rule.origin not in STANDING or origin == rule.origin)
            and wanted(rule)
        )


def _standing(ctx: ControlPlane, cursor: str | None) -> Iterator[Rule]:
    """Rules on sources by address, then other matches in the order of evaluation."""
    state, now = ctx.controller.state, ctx.controller.clock.read()
    after_key = _place(cursor) if cursor and cursor.startswith(_SIGNED) else None
    if after_key is None:
        sources = state.ordered()
        after = parse_rule_id(cursor) if cursor else None
        start = bisect_right(sources, order(after), key=order) if after else 0
        rules = (state.rules.get(source) for source in islice(sources, start, None))
        yield from (rule for rule in rules if rule and not rule.expired(now.ns))
    signatures: list[Rule] = ordered(list(state.matches.values()))
    for signature in signatures:
        if not signature.expired(now.ns) and (after_key is None or signature.order > after_key):
            yield signature


def _cursor(rule: Rule) -> str:
    """The cursor after a rule; it works even if the rule is removed in the meantime."""
    if rule.by_source is None:
        priority, of_detector, rank, _ = rule.order
        return f"{_SIGNED}{priority};{of_detector:d};{rank};{rule.match}"
    return rule.id


def _place(cursor: str) -> tuple[int, bool, str, Key]:
    match = _CURSOR.fullmatch(cursor.removeprefix(_SIGNED))
    if not match:
        raise misread(cursor)
    found = text.parse(match[4])
    return int(match[1]), match[2] == "1", match[3], () if match[3] else precedence(found)


def page(
    ctx: ControlPlane, wanted: Callable[[Rule], bool], limit: int, cursor: str | None
) -> bytes:
    """A RulePage: at most `limit` rules after `cursor` for which `wanted` is true."""
    rules = list(islice(filter(wanted, _standing(ctx, cursor)), limit + 1))
    cursor = _cursor(rules[limit - 1]) if len(rules) > limit else None
    return _encoded(ctx, rules[:limit], cursor)


def busiest(ctx: ControlPlane, wanted: Callable[[Rule], bool], limit: int) -> bytes:
    """A RulePage: the `limit` rules that have hit most packets, of those that are `wanted`."""
    rules = [rule for rule in _standing(ctx, None) if wanted(rule)]
    counted = zip(ctx.controller.hits_of(rules), rules, strict=True)
    first = nlargest(limit, counted, key=lambda pair: (pair[0].packets, pair[1].id))
    return _encoded(ctx, [rule for _, rule in first], None)


def fastest(ctx: ControlPlane, wanted: Callable[[Rule], bool], limit: int) -> bytes:
    """A RulePage: the `limit` rules that hit most packets a second now, by samples.

    If fewer rules have hits, rules without hits follow.
    """
    recent = ctx.sampler.window.last(_RATE_SECONDS)
    rates = {slot: rate for slot, rate in rates_by_slot(recent).items() if rate}
    hitting = {rule.id: (rate, rule) for rate, rule in _hitting(ctx, rates) if wanted(rule)}
    rated = nlargest(limit, hitting.values(), key=lambda pair: (pair[0], pair[1].id))
    others = (rule for rule in _standing(ctx, None) if rule.id not in hitting and wanted(rule))
    rows = [*rated, *((0.0, rule) for rule in islice(others, limit - len(rated)))]
    return _encoded(ctx, [rule for _, rule in rows], None, [rate for rate, _ in rows])


def _hitting(ctx: ControlPlane, rates: Mapping[int, float]) -> Iterator[tuple[float, Rule]]:
    """The rules whose slots are in `rates`, with their rates."""
    state, now = ctx.controller.state, ctx.controller.clock.read()
    for source, slot in list(state.image.entries.items()):
        rule = state.rules.get(source) if slot in rates else None
        if rule and not rule.expired(now.ns):
            yield rates[slot], rule
    for signature in list(state.matches.values()):
        if signature.slot in rates and not signature.expired(now.ns):
            yield rates[signature.slot], signature


def _encoded(
    ctx: ControlPlane,
    rules: list[Rule],
    cursor: str | None,
    rates: Sequence[float | None] | None = None,
) -> bytes:
    """A RulePage as JSON, made without Pydantic, which would take most of a long page's time."""
    now, counted = ctx.controller.clock.read(), ctx.controller.hits_of(rules)
    rows = [
        {**rule_out(ctx, rule, now, hits), "rate": rate, "statistics": None}
        for rule, hits, rate in zip(rules, counted, rates or [None] * len(rules), strict=True)
    ]
    return msgspec.json.encode({"rules": rows, "next": cursor}, enc_hook=BaseModel.model_dump)
