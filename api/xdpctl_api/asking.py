# SPDX-License-Identifier: GPL-2.0-or-later
"""What the loaded program is asked about a source, and which rules and sets its answers mean."""

from collections.abc import Iterable, Mapping
from itertools import chain, islice

from xdpctl.abi.explanation import Explanation
from xdpctl.base.net.prefix import Prefix, exact_address, parse_address
from xdpctl.control.controller import Controller
from xdpctl.control.state.state import State
from xdpctl.datapath.image import is_shared
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import SourceSet
from xdpctl.processes.control_plane import ControlPlane

Held = Rule | SourceSet
_DESTINATIONS_MAX = 64
_NOBODY = {  # for documentation, so nobody has them (RFC 5737, RFC 3849)
    4: ("192.0.2.1", "198.51.100.1", "203.0.113.1"),
    6: ("2001:db8::1", "2001:db8:ffff::1"),
}


def sides(ctx: ControlPlane) -> set[bool]:
    """The sides on which this box has interfaces: True for outside.

    The loader's report says so, since it has loaded the programs.
    """
    found = {bool(port.get("outside")) for port in ctx.loader.ports().values()}
    return found or {bool(ctx.settings.outside_interfaces)}


def side(ctx: ControlPlane, outside: bool | None) -> bool:
    """The side of the receiving interface; RuleError if no interface of this box is on it."""
    known = sides(ctx)
    if outside is None:
        return True in known
    if outside in known:
        return outside
    if outside:
        fix = 'leave it out, or declare one: interfaces = [{name = "eth0", side = "outside"}]'
        raise RuleError("no interface of this box is outside", "outside", fix)
    raise RuleError("all interfaces of this box are outside", "outside", "leave it out")


def named_hosts(controller: Controller, family: int) -> dict[Prefix, Prefix]:
    """Hosts that rules name, and attacked or protected ones, with the prefix that names each.

    For a network stands one of its addresses, which no narrower one of them has.
    """
    state = controller.state
    of_rules = (s.match.get("destination") for s in list(state.matches.values()))
    attacked = (
        exact_address(incident.subject.partition("/")[0])
        for incident in list(state.incidents.values())
        if incident.open
    )
    protected = (prefix for prefix, why in state.protection.why.items() if why == CONFIGURED)
    named = (p for p in chain(attacked, of_rules, protected) if p and p.family == family)
    some = list(islice(dict.fromkeys(named), _DESTINATIONS_MAX - 1))
    hosts: dict[Prefix, Prefix] = {}
    for prefix in sorted(some, key=lambda p: -p.length):
        narrower = [other for other in some if other.length > prefix.length]
        hosts.setdefault(_of(prefix, narrower), prefix)
    return hosts


def _of(prefix: Prefix, narrower: Iterable[Prefix]) -> Prefix:
    """An address of the prefix; if possible one that is in none of the narrower prefixes."""
    bits = 8 * len(prefix.address)
    first = int.from_bytes(prefix.address, "big")
    last = first + (1 << bits - prefix.length) - 1
    tried = [
        Prefix(each.to_bytes(bits // 8, "big"), bits) for each in (first, (first + last) // 2, last)
    ]
    free = (each for each in tried if not any(other.covers(each) for other in narrower))
    return next(free, tried[0])


def any_host(family: int, named: Iterable[Prefix] = ()) -> Prefix:
    """A host that nobody has: what happens to it happens to all hosts that nothing names."""
    hosts = [parse_address(each, "destination") for each in _NOBODY[family]]
    covered = list(named)
    free = (host for host in hosts if not any(prefix.covers(host) for prefix in covered))
    return next(free, hosts[0])


def destinations(controller: Controller, family: int) -> list[Prefix]:
    """Likely destinations of packets."""
    return list(dict.fromkeys((any_host(family), *named_hosts(controller, family))))


def by_slot(state: State, source: Prefix | None) -> Mapping[int | None, Held | None]:
    """The rules and sets that packets of a source can meet, by their slots."""
    near = map(source.widened, range(source.length, -1, -1)) if source is not None else ()
    found: dict[int | None, Held | None] = {
        state.image.entries.get(p): state.rules.get(p) for p in near
    }
    found |= {source_set.slot: source_set for source_set in list(state.sets.values())}
    return found | {rule.slot: rule for rule in list(state.matches.values())}


def matched(held: Mapping[int | None, Held | None], explanation: Explanation) -> list[Held]:
    """The rules and sets of the matched slots, in the order of evaluation."""
    slots = (slot for slot in explanation.slots if not is_shared(slot))
    return [entry for slot in slots if (entry := held.get(slot)) is not None]


def within(entry: Held) -> bool:
    """Whether a matched rule is a limit that the packet did not exceed."""
    return isinstance(entry, Rule) and bool(entry.limit) and entry.mode is Mode.ENFORCE


def could_hit(state: State, source: Prefix | None) -> list[Rule]:
    """The rules on matches that take packets of a source; no accepts, no monitor mode."""
    return [
        rule
        for rule in sorted(list(state.matches.values()), key=lambda s: s.order)
        if rule.action is not Action.ACCEPT
        and rule.mode is Mode.ENFORCE
        and source is not None
        and rule.match.family in (None, source.family)
        and (rule.source is None or rule.source.covers(source))
    ]
