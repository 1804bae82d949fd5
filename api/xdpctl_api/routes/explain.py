# SPDX-License-Identifier: GPL-2.0-or-later
"""Explains the verdict on a packet, by running it through the loaded program."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix, parse_address
from xdpctl.datapath.image import is_shared
from xdpctl.errors import DatapathError, RoleError, RuleError
from xdpctl.model.identity import Role
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.rule import Mode, Rule
from xdpctl.model.signature import Signature
from xdpctl.model.source_set import SourceSet
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api.auth import AnyReader
from xdpctl_api.dependencies import Ctx
from xdpctl_api.refusals import refusals
from xdpctl_api.shapes.common import ProtectedOut
from xdpctl_api.shapes.explain import ExplainOut
from xdpctl_api.shapes.rules import RuleOut, rule_out

Held = Rule | Signature | SourceSet
router = APIRouter(prefix="/v1/explain", tags=["explain"])
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
        Query(description="Whether it arrives on an outside interface; default: if there is one"),
    ] = None,
) -> ExplainOut:
    """Run a packet through the explain program on the live maps; it is not counted."""
    if frame is not None and not who.may(Role.VIEWER):
        raise RoleError(f"{who.name} has the role {who.role}: give a source, and no frame")
    if (source is None) == (frame is None):
        raise RuleError("give either a source or a frame", "source", "send exactly one of the two")
    origin = parse_address(source, "source") if source is not None else None
    if origin is not None:
        to = parse_address(destination or _DEFAULT_DESTINATION[origin.family], "destination")
        number = packets.protocol_number(protocol)
        data = packets.build(
            *(origin, to, number, source_port, destination_port),
            tcp_flags=_flags(tcp_flags),
            icmp_type=icmp_type,
            packet_length=packet_length,
        )
    else:
        data = _from_hex(frame or "")
        origin = packets.source_of(data)
    by_outside = bool(ctx.settings.outside_interfaces) if outside is None else outside
    explanation = await asyncio.to_thread(ctx.controller.datapath.explain, data, by_outside)
    return _answer(ctx, explanation, data, origin)


def _flags(text: str) -> int:
    """Parse flags such as `syn+ack`; RuleError for an unknown flag."""
    known = COMPONENTS["tcp_flags"].names
    names = text.split("+")
    if not known.keys() >= set(names):
        fix = f"write some of {', '.join(known)}, joined by +"
        raise RuleError(f"{text[:40]!r} are not TCP flags", "tcp_flags", fix)
    return sum(known[name] for name in set(names))


def _from_hex(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise RuleError("frame is not hex", "frame", "write pairs of hex digits") from None
    if not 14 <= len(data) <= 3000:
        raise RuleError(f"frame has {len(data)} bytes", "frame", "send 14 to 3000 bytes")
    return data


def _matched(ctx: ControlPlane, explanation: Explanation, source: Prefix | None) -> list[Held]:
    """The rules and sets of the matched slots, in the order of evaluation."""
    state = ctx.controller.state
    near: Iterable[Prefix] = list(state.image.entries)
    if source is not None:
        near = map(source.widened, range(source.length, -1, -1))
    by_slot: dict[int | None, Held | None] = {
        state.image.entries.get(p): state.rules.get(p) for p in near
    }
    by_slot |= {held.slot: held for held in list(state.sets.values())}
    by_slot |= {held.slot: held for held in list(state.signatures.values())}
    slots = (slot for slot in explanation.slots if not is_shared(slot))
    return [held for slot in slots if (held := by_slot.get(slot)) is not None]


def _within(held: Held) -> bool:
    """Whether a matched rule is a limit that the packet did not exceed."""
    return isinstance(held, Signature) and bool(held.limit) and held.mode is Mode.ENFORCE


def _answer(
    ctx: ControlPlane, explanation: Explanation, data: bytes, source: Prefix | None
) -> ExplainOut:
    state, now = ctx.controller.state, ctx.controller.clock.read()
    protection = state.protection
    matched = _matched(ctx, explanation, source)
    decided = matched.pop() if explanation.reason in BY_A_RULE and matched else None
    over = None
    if explanation.reason is Reason.PROTECTED and source is not None:
        over = protection.narrowest(source)

    def out(rule: Rule | Signature) -> RuleOut:
        return RuleOut(**rule_out(ctx.controller, rule, now))

    return ExplainOut(
        verdict=explanation.reason.verdict,
        reason=explanation.reason.name.lower(),
        rule=out(decided) if isinstance(decided, Rule | Signature) else None,
        set=decided.name if isinstance(decided, SourceSet) else None,
        protected_by=ProtectedOut(prefix=str(over), why=protection.why[over]) if over else None,
        within=[out(held) for held in matched if isinstance(held, Signature) and _within(held)],
        monitored=[
            out(held)
            for held in matched
            if isinstance(held, Rule | Signature) and not _within(held)
        ],
        monitored_sets=[held.name for held in matched if isinstance(held, SourceSet)],
        behind=[out(held) for slot in explanation.behind if (held := state.signature_of(slot))],
        frame=data.hex(),
    )
