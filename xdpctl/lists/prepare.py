# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a list into the entries of a set: screened, widened and aggregated."""

from collections.abc import Iterator

from xdpctl.base.net.aggregate import count_addresses, merged, smallest, widened
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Family, Keys
from xdpctl.control.state.state import State
from xdpctl.errors import RuleError
from xdpctl.lists.formats import Feed
from xdpctl.model.effect import Action
from xdpctl.model.screening import SPECIAL, WIDEST, screen
from xdpctl.model.source_set import NOTHING, Entries, Options, count


def prepare(
    state: State, name: str, feed: Feed, action: Action | None, options: Options
) -> tuple[Entries, dict[str, int]]:
    """The entries of the set `name`, and the numbers for its report.

    If `action` is None, the action of the existing set is used. RuleError if the options are not
    possible.
    """
    standing = state.sets.get(name)
    action = action or (standing.action if standing else Action.DROP)
    counts = {"lines": feed.lines, "rejected": feed.rejected, "duplicates": feed.duplicates}
    entries: Entries = feed.everything
    if action is Action.DROP:
        screened = screen(feed.keys, state.protection.why, options.allow_private)
        entries = screened.entries
        counts |= {
            "too_wide": screened.wide + feed.broad_lines,
            "private": screened.special,
            "protected": screened.protected,
            "left_out_addresses": _addresses(feed.everything) - _addresses(entries)
            if screened.wide or screened.special or feed.broad_lines
            else 0,
            "protected_addresses": screened.protected_addresses,
        }
    if options == Options(allow_private=options.allow_private):
        return entries, counts
    special = SPECIAL if action is Action.DROP and not options.allow_private else ()
    keep_out = [*special, *_kept_out(state, name, action)]
    smaller = {}
    for number, keys in entries.items():
        lossy = _lossy(FAMILIES[number], keys, options, keep_out)
        others = _others(state, name, number)
        smaller[number] = merged(FAMILIES[number], lossy, others) if options.aggregate else lossy
    counts["saved"] = count(entries) - count(smaller)
    counts["extra_addresses"] = sum(
        count_addresses(FAMILIES[number], keys) - count_addresses(FAMILIES[number], before)
        for (number, keys), before in zip(smaller.items(), entries.values(), strict=True)
    )
    return smaller, counts


def _addresses(entries: Entries) -> int:
    """The number of IPv4 addresses; a number of IPv6 addresses would tell nothing."""
    return count_addresses(FAMILIES[4], entries[4])


def _lossy(family: Family, keys: Keys, options: Options, keep_out: list[Prefix | Entries]) -> Keys:
    """The keys widened and merged as the options say, but never over a prefix in `keep_out`."""
    out = [item if isinstance(item, Prefix) else item[family.number] for item in keep_out]
    length = options.widen_ipv4 if family.number == 4 else options.widen_ipv6
    if length:
        _check_length(family, length)
        keys, _ = widened(family, keys, length, out)
    if options.at_most:
        keys, _ = smallest(family, keys, options.at_most, out)
        _refuse_broad(family, keys, options.at_most)
    return keys


def _refuse_broad(family: Family, keys: Keys, at_most: int) -> None:
    shortest = int(family.lengths(keys).min(initial=family.bits))
    if shortest < WIDEST[family.number]:
        entries = "1 entry" if at_most == 1 else f"{at_most:,} entries"
        raise RuleError(
            f"{entries} would need a /{shortest}, a large part of the internet",
            "at_most",
            "allow more entries",
        )


def _check_length(family: Family, length: int) -> None:
    field, shortest = f"widen_ipv{family.number}", WIDEST[family.number]
    if not shortest <= length <= family.bits:
        raise RuleError(
            f"{field} must be {shortest} to {family.bits}, not {length}",
            field,
            f"give {shortest} to {family.bits}",
        )


def _kept_out(state: State, name: str, action: Action) -> Iterator[Prefix | Entries]:
    """Prefixes that no widened entry may cover: protected ones, and those of another action.

    Inside a drop, a wider accept would let in addresses that the list does not name. Next to a
    narrower drop, a wider accept would no longer decide for addresses that the list names.
    """
    yield from state.protection.why
    for source, rule in list(state.rules.items()):
        if rule.action is not action:
            yield source
    for other, source_set in list(state.sets.items()):
        if source_set.action is not action and other != name:
            yield state.entries.get(other, NOTHING)


def _others(state: State, name: str, family: int) -> Iterator[Keys]:
    """The keys of all other entries, whose decisions merging must not change."""
    sources = [*list(state.rules), *state.protection.why]
    yield FAMILIES[family].keys(prefix for prefix in sources if prefix.family == family)
    for other, entries in list(state.entries.items()):
        if other != name:
            yield entries[family]
