"""From a list as it was read to the entries of a set: screened, widened, aggregated."""

from collections.abc import Iterator

from xdpctl.aggregate import count_addresses, merged, smallest, widened
from xdpctl.errors import RuleError
from xdpctl.feeds import Feed
from xdpctl.model import Action
from xdpctl.prefix import Prefix
from xdpctl.sets.model import Entries, Options, count
from xdpctl.sets.screen import WIDEST, screen
from xdpctl.state import State
from xdpctl.table.family import FAMILIES, Family, Keys


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
    if options == Options(allow_private=options.allow_private):
        return entries, counts
    smaller = {
        number: _smaller(state, name, number, keys, options) for number, keys in entries.items()
    }
    counts["saved"] = count(entries) - count(smaller)
    counts["extra_addresses"] = sum(
        count_addresses(FAMILIES[number], keys) - count_addresses(FAMILIES[number], before)
        for (number, keys), before in zip(smaller.items(), entries.values(), strict=True)
    )
    return smaller, counts


def _smaller(state: State, name: str, number: int, keys: Keys, options: Options) -> Keys:
    family = FAMILIES[number]
    length = options.widen_ipv4 if number == 4 else options.widen_ipv6
    if length:
        _check_length(number, length)
        keys, _ = widened(family, keys, length, _kept_out(state, number))
    if options.at_most:
        keys, _ = smallest(family, keys, options.at_most, _kept_out(state, number))
        _refuse_broad(family, keys, options.at_most)
    if options.aggregate:
        keys = merged(family, keys, _others(state, name, number))
    return keys


def _refuse_broad(family: Family, keys: Keys, at_most: int) -> None:
    shortest = int(family.lengths(keys).min(initial=family.bits))
    if shortest < WIDEST[family.number]:
        raise RuleError(
            f"{at_most} entries would take a /{shortest}, a large part of the internet",
            "at_most",
            "allow more entries",
        )


def _check_length(number: int, length: int) -> None:
    field, shortest, bits = f"widen_ipv{number}", WIDEST[number], FAMILIES[number].bits
    if not shortest <= length <= bits:
        raise RuleError(f"{field} is {length}", field, f"give {shortest} to {bits}")


def _kept_out(state: State, family: int) -> Iterator[Prefix | Keys]:
    """What no prefix may be widened over: protected and accepted ones."""
    yield from (prefix for prefix in state.protection.why if prefix.family == family)
    for rule in list(state.rules.values()):
        if rule.action is Action.ACCEPT and rule.source.family == family:
            yield rule.source
    for name, held in list(state.sets.items()):
        if held.action is Action.ACCEPT:
            yield state.entries[name][family]


def _others(state: State, name: str, family: int) -> Iterator[Keys]:
    """Everything else that is listed, next to which merging must change nothing."""
    sources = [*list(state.rules), *state.protection.why]
    yield FAMILIES[family].keys(prefix for prefix in sources if prefix.family == family)
    for other, entries in list(state.entries.items()):
        if other != name:
            yield entries[family]
