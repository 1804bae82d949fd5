# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an address gets in, or not: what is done with its packets, who decides, where it is."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fastapi import APIRouter

from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix, parse_address
from xdpctl.control.state.coverage import MatchingEntry, covering
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.served import Service
from xdpctl.errors import BusyError, ConfigError, DatapathError
from xdpctl.model.match.components import ICMP, ICMPV6, TCP, UDP
from xdpctl.model.rule import Rule
from xdpctl.model.services import DNS, HTTPS
from xdpctl.model.sides import is_nobodys
from xdpctl.model.tags import incident_of
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.watch.why import Answer, sentence, together
from xdpctl_api.asking import (
    Held,
    any_host,
    by_slot,
    could_hit,
    matched,
    named_hosts,
    sides,
    within,
)
from xdpctl_api.auth import AnyReader
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.routes.explain import COULD_HIT_MAX
from xdpctl_api.shapes.rules import RuleOut, rule_out
from xdpctl_api.shapes.why import AnswerOut, EntryOut, WhyOut

router = APIRouter(prefix="/v1/why", tags=["explain"])
_FROM_PORT = 40000
_USUAL: Mapping[str, tuple[int, int]] = {
    "web (TCP 443)": (TCP, HTTPS),
    "web (TCP 80)": (TCP, 80),
    "mail (TCP 25)": (TCP, 25),
    "DNS (UDP 53)": (UDP, DNS),
    "video and VPN (UDP 443)": (UDP, HTTPS),
    "ping": (ICMP, 0),
}
_ECHO_REQUEST = {4: 8, 6: 128}
_OTHERS = "any other host"
_LEARNT_MAX = 8  # of the services that a host or network has been seen to serve


@router.get("/{address}", responses=refusals(ConfigError, BusyError))
async def why(address: str, who: AnyReader, ctx: Ctx) -> WhyOut:
    """What the loaded program does with packets of an address, and all that is known of it."""
    source, now = parse_address(address, "address"), ctx.controller.clock.read()
    draft = Draft(ctx.controller.state, now)
    text, others = str(source).split("/")[0], could_hit(ctx.controller.state, source)
    try:
        answers = await ctx.pools.looks.run(lambda: together(_asked(ctx, source)))
        decided = {each.rule.id for each in answers if each.rule}
        settled = all(each.by_source for each in answers)
        others = [] if settled else [rule for rule in others if rule.id not in decided]
        report = ctx.loader.read()
        silent = report is None or report.silent
        said = sentence(text, answers, others, now, _unfiltered(ctx), _providers(ctx), silent)
    except DatapathError as error:
        answers, said = None, f"What happens to {text} is not known: {error}."

    goes = list(covering(draft, source, out=True))
    keeps = next((entry for entry in goes if entry.decides), None)
    if keeps and keeps.set and keeps.out:
        said += f" What is sent to {text} is dropped by the set {keeps.set.name}."
    if is_nobodys(source):
        said = f"{text} is nobody's: no host that calls can have this address."

    def out(rule: Rule) -> RuleOut:
        return RuleOut(**rule_out(ctx, rule, now))

    return WhyOut(
        address=text,
        sentence=ctx.names.tell(said),
        answers=None if answers is None else [_answer(each, out) for each in answers],
        sends=[ctx.names.tell(each) for each in _sends(ctx, source)],
        could_hit=[out(rule) for rule in others[:COULD_HIT_MAX]],
        covering=[
            _entry(entry)
            for entry in (*covering(draft, source), *(entry for entry in goes if entry.out))
        ],
        **await asyncio.to_thread(_place, ctx, source),
    )


def _asked(ctx: ControlPlane, source: Prefix) -> Iterator[Answer]:
    """The program's answer for each service at each destination; DatapathError if it has none."""
    state, kind = ctx.controller.state, _ECHO_REQUEST[source.family]
    held, known = by_slot(state, source), sides(ctx)
    named = named_hosts(ctx.controller, source.family)
    hosts = {host: str(over).removesuffix(f"/{host.length}") for host, over in named.items()}
    served = [figures.service for figures in ctx.sampler.served.figures()]
    for destination, name in {any_host(source.family, named.values()): _OTHERS, **hosts}.items():
        for service, (protocol, port) in _services(served, named.get(destination)).items():
            number = ICMPV6 if source.family == 6 and protocol == ICMP else protocol
            frame = packets.build(source, destination, number, _FROM_PORT, port, icmp_type=kind)
            explanation = ctx.controller.datapath.explain(frame, True in known)
            if explanation.reason is Reason.SPOOFED and False in known:  # it is inside
                explanation = ctx.controller.datapath.explain(frame, False)
            yield _of(service, name, explanation, matched(held, explanation))


def _services(seen: Sequence[Service], over: Prefix | None) -> Mapping[str, tuple[int, int]]:
    """What most networks serve, and the busiest other services inside a prefix.

    `seen` are the services inside, the busiest first.
    """
    if over is None:
        return _USUAL
    served = dict.fromkeys((each.protocol, each.port) for each in seen if over.covers(each.host))
    others = (each for each in served if each not in _USUAL.values())
    learnt = {f"{'TCP' if each[0] == TCP else 'UDP'} {each[1]}": each for each in others}
    return {**_USUAL, **dict(islice(learnt.items(), _LEARNT_MAX))}


def _of(service: str, host: str, explanation: Explanation, met: Sequence[Held]) -> Answer:
    """One answer of the program, in which a limit counts whether or not it is exceeded now."""
    reason = explanation.reason
    entry = met[-1] if met and reason in BY_A_RULE else None
    limits = [each for each in met if within(each)]
    if limits and reason.verdict == "pass":
        reason, entry = Reason.LIMITED, limits[-1]
    if isinstance(entry, Rule):
        return Answer([service], [host], reason, rule=entry)
    return Answer([service], [host], reason, set=entry.name if entry else None)


def _sends(ctx: ControlPlane, source: Prefix) -> Iterator[str]:
    """What is done with what a host inside sends from an address."""
    limits = ctx.attackers.policing.limits()
    yield from (str(limit) for limit in limits if limit.host == source)
    if said := ctx.validation.about(source):
        yield said


def _unfiltered(ctx: ControlPlane) -> list[str]:
    """The interfaces on which the filter is not attached now."""
    ports = ctx.loader.ports().items()
    return [name for name, port in ports if port.get("state") != "attached"]


def _providers(ctx: ControlPlane) -> list[str]:
    """What providers were asked to do, and do."""
    announcements = list(ctx.controller.state.announcements.values())
    return [f"{each.peer} was asked to {each.what}" for each in announcements if each.announced]


def _answer(answer: Answer, out: Any) -> AnswerOut:
    return AnswerOut(
        services=list(answer.services),
        to=list(answer.to),
        verdict=answer.verdict,
        reason=answer.reason.name.lower(),
        rule=out(answer.rule) if answer.rule else None,
        set=answer.set,
        incident=incident_of(answer.rule.tags) or None if answer.rule else None,
    )


def _place(ctx: ControlPlane, source: Prefix) -> dict[str, Any]:
    """Where an address is, if a database is installed; ConfigError if it cannot be read."""
    where: dict[str, Any] = dict.fromkeys(("country", "asn", "as_name", "network", "database"))
    database = ctx.geo_databases.current()
    if database is None:
        return where
    place = database.lookup(source)
    found = (
        {name: getattr(place, name) or None for name in where if name != "database"}
        if place
        else {}
    )
    return where | found | {"database": database.description}


def _entry(entry: MatchingEntry) -> EntryOut:
    return EntryOut(
        prefix=str(entry.prefix),
        action=entry.action,
        mode=entry.mode,
        rule=entry.rule.id if entry.rule else None,
        set=entry.set.name if entry.set else None,
        out=entry.out,
        protected=entry.protected or None,
        applied=entry.applied,
    )
