# SPDX-License-Identifier: GPL-2.0-or-later
"""May this rule stand? Pure questions, answered with an error that says why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, Self, TypeVar

from xdpctl.abi.structs import Constants
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import ConflictError, LockoutError, QuotaError, RoleError, StaleError
from xdpctl.model import tags
from xdpctl.model.requests import check_tags
from xdpctl.model.rule import OPERATOR, Action, Mode, Rule, Spare

_DOING = frozenset(("mode", "limit", "spare", "priority"))
CONFIGURED, PEER = "configured as protected", "configured as a routing peer"
OWN_ADDRESS, LOOPBACK = "this host's own address", "loopback"
GATEWAY, RESOLVER = "a gateway of this host", "a resolver of this host"
_NEIGHBOURS = (GATEWAY, RESOLVER, PEER)


@dataclass(frozen=True, slots=True)
class Quota:
    """What one origin may ask for; lengths are the shortest prefixes allowed, `max_ttl` seconds."""

    max_rules: int
    shortest_ipv4: int = 0
    shortest_ipv6: int = 0
    max_ttl: float | None = None
    max_signatures: int = Constants.SIGNATURES_MAX
    max_share: float = 1.0

    def check(self, origin: str, prefix: Prefix | None, ttl: float | None, standing: int) -> None:
        """QuotaError if a rule on `prefix` is too wide or too long, or one too many."""
        if prefix is not None:
            self._check_width(origin, prefix)
        if self.max_ttl is not None and (ttl is None or ttl > self.max_ttl):
            raise QuotaError(
                f"a rule of {origin} must end within {self.max_ttl:g} seconds",
                "ttl",
                f"give a ttl of at most {self.max_ttl:g}",
            )
        if standing >= self.max_rules:
            raise QuotaError(
                f"{origin} has {standing} rules, which is its quota",
                "",
                f"remove some, or raise origins.{origin}.max_rules",
            )

    def check_share(self, origin: str, family: int, own: int, every: int) -> None:
        """QuotaError if rules drop too much of a family: `own` of this origin, `every` of all."""
        for held, most, who, fix in (
            (own, self.max_share, origin, f"raise origins.{origin}.max_share"),
            (every, _SHARE_OF_ALL, "all detectors together", "let an operator block it"),
        ):
            if held > most * _WHOLE[family]:
                raise QuotaError(
                    f"{who} would drop {held / _WHOLE[family]:.2%} of IPv{family}, and {most:.2%} "
                    "is the most",
                    "match.source",
                    f"let some rules end, or {fix}",
                )

    def _check_width(self, origin: str, prefix: Prefix) -> None:
        shortest = self.shortest_ipv4 if prefix.family == 4 else self.shortest_ipv6
        if prefix.length < shortest:
            raise QuotaError(
                f"{origin} may block nothing wider than /{shortest}; {prefix} is wider",
                "match.source",
                f"split it, or raise origins.{origin}.shortest_ipv{prefix.family}",
            )


AUTOMATIC = Quota(
    max_rules=50_000,
    shortest_ipv4=24,
    shortest_ipv6=48,
    max_ttl=86400.0,
    max_signatures=128,
    max_share=1 / 256,
)
_SHARE_OF_ALL = 1 / 128  # of each family, that all detectors together may drop
_WHOLE = {4: 1 << 32, 6: 1 << 61}  # addresses; /64s of 2000::/3


class Protection:
    """Prefixes that are never blocked, and why each is one."""

    def __init__(self, why: Mapping[Prefix, str]) -> None:
        self.why = dict(why)
        self._lengths: dict[int, list[int]] = {4: [], 16: []}  # by address size, ascending
        for size, length in sorted({(len(p.address), p.length) for p in why}):
            self._lengths[size].append(length)

    @cached_property
    def neighbours(self) -> frozenset[Prefix]:
        """Gateways, resolvers and peers that are no part of our own networks."""
        named = (p for p, why in self.why.items() if why in _NEIGHBOURS)
        return frozenset(p for p in named if self.why[p] != RESOLVER or not self._ours(p))

    def _ours(self, prefix: Prefix) -> bool:
        over = (prefix.widened(length) for length in range(prefix.length, -1, -1))
        return any(self.why.get(one) in (CONFIGURED, OWN_ADDRESS, LOOPBACK) for one in over)

    def lengths(self, prefix: Prefix) -> list[int]:
        """Those that protected prefixes of this one's family have, ascending."""
        return self._lengths[len(prefix.address)]

    def over(self, prefix: Prefix) -> Prefix | None:
        """The widest protected prefix that covers all of `prefix`."""
        for length in self._lengths[len(prefix.address)]:
            if length > prefix.length:
                break
            candidate = prefix.widened(length)
            if candidate in self.why:
                return candidate
        return None

    def narrowest(self, prefix: Prefix) -> Prefix | None:
        """The most specific protected prefix that covers all of `prefix`."""
        lengths = range(prefix.length, -1, -1)
        return next((p for p in map(prefix.widened, lengths) if p in self.why), None)

    def inside(self, prefix: Prefix) -> Iterator[Prefix]:
        """The protected prefixes that `prefix` covers."""
        lengths = self._lengths[len(prefix.address)]
        if lengths and prefix.length <= lengths[-1] and not prefix.exact:
            yield from (p for p in self.why if prefix.covers(p))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Protection) and self.why == other.why

    __hash__ = None  # type: ignore[assignment]


class RuleLike(Protocol):
    """What a rule and a signature have in common for those who change them."""

    @property
    def id(self) -> str:
        """The id by which the API names it."""

    @property
    def etag(self) -> str:
        """A text that differs after any change."""

    @property
    def subject(self) -> str:
        """What it is about, in words."""

    @property
    def action(self) -> Action:
        """What is done with its packets."""

    @property
    def mode(self) -> Mode:
        """Whether it acts or only counts."""

    @property
    def origin(self) -> str:
        """On whose behalf it stands: `operator`, or an automatic origin."""

    @property
    def reason(self) -> str:
        """Why, in the words of who asked for it."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, in order."""

    @property
    def spare(self) -> Spare:
        """Whose packets it lets pass."""

    @property
    def expires_ns(self) -> int:
        """Its end on CLOCK_MONOTONIC, 0 for never."""

    @property
    def confirm_by_ns(self) -> int:
        """When it ends unless it is confirmed, on CLOCK_MONOTONIC; 0 for never."""

    def same_effect(self, other: Self) -> bool:
        """Whether both do the same with the same packets."""

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed."""


Merged = TypeVar("Merged", bound=RuleLike)


@dataclass(slots=True)
class Judgement(Generic[Merged]):
    """A rule that may stand, and what its author should know."""

    rule: Merged
    warnings: list[str] = field(default_factory=list)


def guard(rule: Rule, protection: Protection) -> list[str]:
    """LockoutError if the rule would drop what is protected; else the warnings."""
    if rule.action is not Action.DROP or rule.mode is Mode.MONITOR:
        return []
    over = protection.over(rule.source)
    if over is not None:
        _refuse_inside(rule, over, protection.why[over])
    kept = list(protection.inside(rule.source))
    if not kept:
        return []
    names = ", ".join(f"{p} ({protection.why[p]})" for p in kept[:5])
    more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
    return [f"protected inside it, and still let through: {names}{more}"]


def _refuse_inside(rule: Rule, over: Prefix, why: str) -> None:
    provisional = rule.origin == OPERATOR and rule.confirm_by_ns and rule.source != over
    if why == CONFIGURED and provisional:
        return
    fix = "use mode monitor to watch it"
    if why == CONFIGURED and rule.origin == OPERATOR and rule.source != over:
        fix = "add confirm_within, so that it undoes itself unless you can still confirm it"
    place = "" if rule.source == over else f"in {over}, which is "
    raise LockoutError(f"{rule.source} is {place}{why}", "match.source", fix)


def check_change(standing: RuleLike, origin: str, etag: str | None) -> None:
    """StaleError if it is not what `etag` was read from; RoleError if it is another origin's."""
    if etag is not None and etag != standing.etag:
        raise StaleError(f"rule {standing.id} changed since it was read; read it again")
    if origin not in (standing.origin, OPERATOR):
        raise RoleError(f"rule {standing.id} belongs to {standing.origin}, not to {origin}")


def tags_after(
    standing: RuleLike, changes: Mapping[str, object], origin: str
) -> dict[str, tuple[str, ...]]:
    """The tags that a change leaves, if it touches them; RuleError for one that is not a name.

    An operator's word on what a detector's rule does is not to be overruled by the detector.
    """
    held, asked = standing.tags, changes.get("tags")
    if isinstance(asked, tuple):
        checked = check_tags(asked)
        held = checked if standing.origin == OPERATOR else tags.given(held, checked)
    if origin == OPERATOR != standing.origin and changes.keys() & _DOING:
        held = tags.pinned(held)
    return {} if held == standing.tags else {"tags": held}


def merge(standing: Merged, asked: Merged) -> Judgement[Merged]:
    """The same match asked for again: extend it, take it over, or refuse."""
    if standing.same_effect(asked):
        return _extended(standing, asked)
    automatic = standing.origin != OPERATOR and asked.origin == OPERATOR
    if automatic and standing.action is not asked.action:
        warning = f"replaced the {standing.action} of {standing.origin} on the same source"
        return Judgement(asked, [warning])
    held = f"{standing.origin}'s {standing.mode} {standing.action}"
    fix = (
        f"change the standing one: PATCH /v1/rules/{standing.id}"
        if standing.action is asked.action
        else f"remove the standing one first: DELETE /v1/rules/{standing.id}"
    )
    raise ConflictError(f"{held} already stands on {standing.subject}", "action", fix)


def _extended(standing: Merged, asked: Merged) -> Judgement[Merged]:
    ends = (
        0
        if not (standing.expires_ns and asked.expires_ns)
        else max(standing.expires_ns, asked.expires_ns)
    )
    warnings = []
    confirm_by = standing.confirm_by_ns and asked.confirm_by_ns
    if asked.confirm_by_ns and not standing.confirm_by_ns:
        warnings.append("it already stands confirmed, so confirm_within was not applied")
    if standing.expires_ns and not ends:
        warnings.append("it had an end and has none now: no ttl was asked for")
    taken = asked.origin == OPERATOR and standing.origin != OPERATOR
    held = tags.taken_over(standing.tags) if taken else standing.tags
    merged = standing.replace(
        expires_ns=ends,
        confirm_by_ns=confirm_by,
        origin=OPERATOR if taken else standing.origin,
        reason=asked.reason or standing.reason,
        tags=tags.joined(held, asked.tags),
        **({"spare": asked.spare} if taken else {}),
    )
    return Judgement(merged, warnings)
