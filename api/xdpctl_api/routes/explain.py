# SPDX-License-Identifier: GPL-2.0-or-later
"""Explains the verdict on a packet, by running it through the loaded program."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix, parse_address
from xdpctl.errors import DatapathError, RoleError, RuleError
from xdpctl.model.identity import Role
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import SourceSet
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.asking import by_slot, could_hit, destinations, matched, side, within
from xdpctl_api.auth import AnyReader
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import ProtectedOut
from xdpctl_api.shapes.explain import ExplainOut
from xdpctl_api.shapes.rules import RuleOut, rule_out

router = APIRouter(prefix="/v1/explain", tags=["explain"])
COULD_HIT_MAX = 20
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


def _answer(
    ctx: ControlPlane,
    explanation: Explanation,
    data: bytes,
    source: Prefix | None,
    tried: int,
) -> ExplainOut:
    state, now = ctx.controller.state, ctx.controller.clock.read()
    protection = state.protection
    met = matched(by_slot(state, source), explanation)
    decided = met.pop() if explanation.reason in BY_A_RULE and met else None
    over = None
    if explanation.reason is Reason.PROTECTED and source is not None:
        over = protection.narrowest(source)

    def out(rule: Rule) -> RuleOut:
        return RuleOut(**rule_out(ctx, rule, now))

    return ExplainOut(
        verdict=explanation.reason.verdict,
        reason=explanation.reason.name.lower(),
        rule=out(decided) if isinstance(decided, Rule) else None,
        set=decided.name if isinstance(decided, SourceSet) else None,
        protected_by=ProtectedOut(prefix=str(over), why=protection.why[over]) if over else None,
        within=[out(entry) for entry in met if isinstance(entry, Rule) and within(entry)],
        monitored=[out(entry) for entry in met if isinstance(entry, Rule) and not within(entry)],
        monitored_sets=[entry.name for entry in met if isinstance(entry, SourceSet)],
        behind=[out(rule) for slot in explanation.behind if (rule := state.match_of(slot))],
        could_hit=[
            out(rule) for rule in could_hit(state, source) if rule not in met and rule != decided
        ][:COULD_HIT_MAX],
        destinations=tried,
        frame=data.hex(),
    )
