"""From a list as it was read to the entries of a set: screened, widened, aggregated."""

from collections.abc import Iterator

from xdpctl.aggregate import merged, widened
from xdpctl.errors import RuleError
from xdpctl.feeds import Feed
from xdpctl.model import Action
from xdpctl.sets.model import Entries, Options, count
from xdpctl.sets.screen import screen
from xdpctl.state import State
from xdpctl.table.family import FAMILIES, Family, Keys

_SHORTEST = {4: 8, 6: 16}  # what a widened prefix may be at the most


def prepare(
    state: State, name: str, listed: Feed, action: Action, options: Options
) -> tuple[Entries, dict[str, int]]:
    """The entries, and what became of the list in numbers; RuleError for impossible options."""
    counts = {"lines": listed.lines, "rejected": listed.rejected, "duplicates": listed.duplicates}
    entries: Entries = listed.keys
    if action is Action.DROP:
        screened = screen(entries, state.protection.why, options.allow_private)
        entries = screened.entries
        counts |= {
            "too_wide": screened.wide,
            "private": screened.special,
            "protected": screened.protected,
        }
    before = count(entries)
    for number, length in ((4, options.widen_ipv4), (6, options.widen_ipv6)):
        if length:
            entries, extra = _widened(state, entries, FAMILIES[number], length)
            counts["extra_addresses"] = counts.get("extra_addresses", 0) + extra
    if options.aggregate:
        entries = {
            number: merged(FAMILIES[number], keys, _others(state, name, number))
            for number, keys in entries.items()
        }
    if options != Options(allow_private=options.allow_private):
        counts["saved"] = before - count(entries)
    return entries, counts


def _widened(state: State, entries: Entries, family: Family, length: int) -> tuple[Entries, int]:
    field = f"widen_ipv{family.number}"
    if not _SHORTEST[family.number] <= length <= family.bits:
        raise RuleError(
            f"{field} is {length}", field, f"give {_SHORTEST[family.number]} to {family.bits}"
        )
    kept = [prefix for prefix in state.protection.why if prefix.family == family.number]
    accepted = [
        rule.source
        for rule in list(state.rules.values())
        if rule.action is Action.ACCEPT and rule.source.family == family.number
    ]
    sets = [
        state.entries[name][family.number]
        for name, held in list(state.sets.items())
        if held.action is Action.ACCEPT
    ]
    keys, extra = widened(family, entries[family.number], length, [*kept, *accepted, *sets])
    return {**entries, family.number: keys}, extra


def _others(state: State, name: str, family: int) -> Iterator[Keys]:
    """Everything else that is listed, next to which merging must change nothing."""
    sources = [*list(state.rules), *state.protection.why]
    yield FAMILIES[family].keys(prefix for prefix in sources if prefix.family == family)
    for other, entries in list(state.entries.items()):
        if other != name:
            yield entries[family]
