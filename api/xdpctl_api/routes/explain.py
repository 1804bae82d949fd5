# SPDX-License-Identifier: GPL-2.0-or-later
"""Explains the verdict on a packet, by running it through the loaded program."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix, exact_address, parse_address
from xdpctl.control.controller import Controller
from xdpctl.datapath.image import is_shared
from xdpctl.errors import DatapathError, RoleError, RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Role
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import SourceSet
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import AnyReader
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import ProtectedOut
from xdpctl_api.shapes.explain import ExplainOut
from xdpctl_api.shapes.rules import RuleOut, rule_out

Held = Rule | SourceSet
router = APIRouter(prefix="/v1/explain", tags=["explain"])
_DESTINATIONS_MAX, _COULD_HIT_MAX = 64, 20
_DEFAULT_DESTINATION = {4: "192.0.2.1", 6: "2001:db8::1"}
Port = Annotated[int, Query(ge=0, le=65535)]


@router.get("", responses=refusals(DatapathError))
async def explain(
    who: AnyReader,
    ctx: Ctx,
    source: str | None = None,
    destination: str | None = None,
    protocol: str = "udp",
    source_port: Port = 40000,
    destination_port: Port = 443,
    tcp_flags: Annotated[str, Query(description="Names joined by +")] = "syn",
    icmp_type: Annotated[int, Query(ge=0, le=255)] = 8,
    packet_length: int | None = None,
    frame: Annotated[
        str | None, Query(description="A whole Ethernet frame in hex, instead of the fields")
    ] = None,
    outside: Annotated[
        bool | None,
        Query(description="Arrives on an outside interface; default: if one is configured"),
    ] = None,
) -> ExplainOut:
    """Run a packet through the explain program on the live maps; it is not counted."""
    if frame is not None and not who.may(Role.VIEWER):
        raise RoleError(f"{who.name} has the role {who.role}: give a source, and no frame")
    if (source is None) == (frame is None):
        raise RuleError("give either a source or a frame", "source", "send exactly one of the two")
    origin = parse_address(source, "source") if source is not None else None
    if origin is not None:
        targets = [parse_address(destination, "destination")] if destination else []
        number = packets.protocol_number(protocol)
        frames = [
            packets.build(
                *(origin, to, number, source_port, destination_port),
                tcp_flags=_flags(tcp_flags),
                icmp_type=icmp_type,
                packet_length=packet_length,
            )
            for to in targets or destinations(ctx.controller, origin.family)
        ]
    else:
        frames = [_from_hex(frame or "")]
        origin = packets.source_of(frames[0])
    by_outside = side(ctx, outside)
    explain = ctx.controller.datapath.explain
    explanation, data = await asyncio.to_thread(_first_stopped, explain, frames, by_outside)
    return _answer(ctx, explanation, data, origin, len(frames))


def side(ctx: ControlPlane, outside: bool | None) -> bool:
    """The side of the receiving interface; RuleError if no interface of this box is on it.

    The loader's report says on which sides there are interfaces, since it has loaded the programs.
    """
    sides = {bool(port.get("outside")) for port in ctx.loader.ports().values()}
    sides = sides or {bool(ctx.settings.outside_interfaces)}
    if outside is None:
        return True in sides
    if outside in sides:
        return outside
    if outside:
        fix = 'leave it out, or declare one: interfaces = [{name = "eth0", side = "outside"}]'
        raise RuleError("no interface of this box is outside", "outside", fix)
    raise RuleError("all interfaces of this box are outside", "outside", "leave it out")


def named_hosts(controller: Controller, family: int) -> dict[Prefix, Prefix]:
    """Hosts that rules name, and attacked or protected ones, with the prefix that names each.

    The first address of a network stands for it.
    """
    state = controller.state
    of_rules = (s.match.get("destination") for s in list(state.matches.values()))
    attacked = (
        exact_address(incident.subject.partition("/")[0])
        for incident in list(state.incidents.values())
        if incident.open
    )
    protected = (prefix for prefix, why in state.protection.why.items() if why == CONFIGURED)
    named = (p for p in chain(of_rules, attacked, protected) if p and p.family == family)
    hosts = {Prefix(p.address, len(p.address) * 8): p for p in named}
    return dict(islice(hosts.items(), _DESTINATIONS_MAX - 1))


def any_host(family: int) -> Prefix:
    """A host that nobody has: what happens to it happens to all hosts that nothing names."""
    return parse_address(_DEFAULT_DESTINATION[family], "destination")


def destinations(controller: Controller, family: int) -> list[Prefix]:
    """Likely destinations of packets."""
    return list(dict.fromkeys((any_host(family), *named_hosts(controller, family))))


def _first_stopped(
    explain: Callable[[bytes, bool], Explanation], frames: Sequence[bytes], outside: bool
) -> tuple[Explanation, bytes]:
    """The explanation of the first packet that does not pass; of the first packet if all pass."""
    first = None
    for data in frames:
        outcome = explain(data, outside), data
        if outcome[0].reason.verdict != "pass":
            return outcome
        first = first or outcome
    assert first  # noqa: S101  # there is at least one
    return first


def _flags(text: str) -> int:
    """Parse flags such as `syn+ack`; RuleError for an unknown flag."""
    flags = COMPONENTS["tcp_flags"].names
    names = text.split("+")
    if not flags.keys() >= set(names):
        fix = f"write some of {', '.join(flags)}, joined by +"
        raise RuleError(f"{text[:40]!r} are not TCP flags", "tcp_flags", fix)
    return sum(flags[name] for name in set(names))


def _from_hex(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise RuleError("frame is not hex", "frame", "write pairs of hex digits") from None
    if not 14 <= len(data) <= 3000:
        raise RuleError(f"frame has {len(data)} bytes", "frame", "send 14 to 3000 bytes")
    return data


def matched(ctx: ControlPlane, explanation: Explanation, source: Prefix | None) -> list[Held]:
    """The rules and sets of the matched slots, in the order of evaluation."""
    state = ctx.controller.state
    near = map(source.widened, range(source.length, -1, -1)) if source is not None else ()
    by_slot: dict[int | None, Held | None] = {
        state.image.entries.get(p): state.rules.get(p) for p in near
    }
    by_slot |= {source_set.slot: source_set for source_set in list(state.sets.values())}
    by_slot |= {rule.slot: rule for rule in list(state.matches.values())}
    slots = (slot for slot in explanation.slots if not is_shared(slot))
    return [entry for slot in slots if (entry := by_slot.get(slot)) is not None]


def _within(entry: Held) -> bool:
    """Whether a matched rule is a limit that the packet did not exceed."""
    return isinstance(entry, Rule) and bool(entry.limit) and entry.mode is Mode.ENFORCE


def could_hit(ctx: ControlPlane, source: Prefix | None) -> list[Rule]:
    """The first rules on matches that take packets of a source; no accepts, no monitor mode."""
    return [
        rule
        for rule in sorted(list(ctx.controller.state.matches.values()), key=lambda s: s.order)
        if rule.action is not Action.ACCEPT
        and rule.mode is Mode.ENFORCE
        and source is not None
        and rule.match.family in (None, source.family)
        and (rule.source is None or rule.source.covers(source))
    ][:_COULD_HIT_MAX]


def _answer(
    ctx: ControlPlane,
    explanation: Explanation,
    data: bytes,
    source: Prefix | None,
    tried: int,
) -> ExplainOut:
    state, now = ctx.controller.state, ctx.controller.clock.read()
    protection = state.protection
    met = matched(ctx, explanation, source)
    decided = met.pop() if explanation.reason in BY_A_RULE and met else None
    over = None
    if explanation.reason is Reason.PROTECTED and source is not None:
        over = protection.narrowest(source)

    def out(rule: Rule) -> RuleOut:
        return RuleOut(**rule_out(ctx.controller, rule, now))

    return ExplainOut(
        verdict=explanation.reason.verdict,
        reason=explanation.reason.name.lower(),
        rule=out(decided) if isinstance(decided, Rule) else None,
        set=decided.name if isinstance(decided, SourceSet) else None,
        protected_by=ProtectedOut(prefix=str(over), why=protection.why[over]) if over else None,
        within=[out(entry) for entry in met if isinstance(entry, Rule) and _within(entry)],
        monitored=[out(entry) for entry in met if isinstance(entry, Rule) and not _within(entry)],
        monitored_sets=[entry.name for entry in met if isinstance(entry, SourceSet)],
        behind=[out(rule) for slot in explanation.behind if (rule := state.match_of(slot))],
        could_hit=[
            out(rule) for rule in could_hit(ctx, source) if rule not in met and rule != decided
        ],
        destinations=tried,
        frame=data.hex(),
    )
