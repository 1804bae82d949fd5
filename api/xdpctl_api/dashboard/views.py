# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages: the API calls that each makes, and its template."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from xdpctl.base.net.prefix import exact_address, parse_prefix, text_of
from xdpctl.errors import RuleError
from xdpctl.incidents import plot, report
from xdpctl.incidents.stories import stories
from xdpctl.model.effect import Action
from xdpctl.model.identity import Role
from xdpctl.model.incident import subject_in_words
from xdpctl_api.dashboard.api_calls import segment
from xdpctl_api.dashboard.page import PageIn, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_TOPS = "destination,source_network,source_port,destination_port"
_MOST = {
    "tops": 6,
    "rules": 500,
    "at_work": 12,
    "waiting": 50,
    "services": 8,
    "incidents": 50,
    "attackers": 5,
}
_FOUND, _STORIES = 50, 3
_FIGURES = "newcomers,pass_packets,pass_bits,drop_packets,drop_bits"
_WINDOW = "4s"


@router.get("/")
async def now(page: PageIn) -> Response:
    """What passes, what is dropped, what is unusual, and what is done about it."""
    if not page.who.may(Role.VIEWER):
        return RedirectResponse("/why", 303)
    top = {"by": _TOPS, "verdict": "pass", "window": _WINDOW, "limit": _MOST["tops"]}
    tops, served, attackers, rules, waiting, incidents, upstream, figures = await asyncio.gather(
        page.or_none("/v1/top", **top),
        page.or_none("/v1/served", limit=_MOST["services"]),
        page.or_none("/v1/attackers"),
        page.api.get("/v1/rules", sort="rate", limit=_MOST["rules"]),
        page.api.get("/v1/rules", provisional=True, limit=_MOST["waiting"]),
        page.api.get("/v1/incidents", limit=_MOST["incidents"]),
        _upstream(page),
        _figures(page),
    )
    return await page.render(
        "now.html.j2",
        most=_MOST,
        tops=tops["dimensions"] if tops else [],
        services=served["services"] if served else [],
        served=served["text"] if served else "",
        attackers=attackers["attackers"][: _MOST["attackers"]] if attackers else [],
        limits=attackers["limits"][: _MOST["attackers"]] if attackers else [],
        rules=rules["rules"],
        provisional=waiting["rules"],
        more_wait=waiting["next"] is not None,
        open=next((each for each in incidents["incidents"] if each["open"]), None),
        figures=figures,
        **upstream,
    )


async def _figures(page: PageIn) -> dict[str, float | None]:
    """The newest figures, newcomers a minute; None where they are not known."""
    found = await page.or_none("/v1/series", names=_FIGURES, since="10s", points=11)
    known = found["figures"] if found else {name: {"averages": []} for name in _FIGURES.split(",")}
    newest = {
        name: next((each for each in reversed(of["averages"]) if each is not None), None)
        for name, of in known.items()
    }
    came = newest["newcomers"]
    return newest | {"newcomers": None if came is None else 60 * came}


async def _upstream(page: PageIn) -> dict[str, Any]:
    """How many requests to providers wait, and the fullest uplink; None on a box without any."""
    overview = await page.or_none("/v1/upstream") if page.has_providers else None
    if overview is None:
        return {"proposed": 0 if page.has_providers else None, "uplink": None}
    waiting = sum(each["state"] == "proposed" for each in overview["announcements"])
    fullest = max(overview["uplinks"], key=lambda each: each["share"] or 0.0, default=None)
    return {"proposed": waiting, "uplink": fullest}


@router.get("/fleet")
async def fleet(page: PageIn) -> Response:
    """All nodes, what attacks them, and what passes everywhere."""
    overview, stories = await asyncio.gather(
        page.api.get("/v1/fleet"), page.or_none("/v1/fleet/incidents")
    )
    return await page.render(
        "fleet.html.j2", fleet=overview, stories=stories["stories"] if stories else None
    )


@router.get("/upstream")
async def upstream(page: PageIn) -> Response:
    """How full the uplinks are, and what to ask of the provider about each attack."""
    overview = await page.api.get("/v1/upstream")
    letters = await asyncio.gather(
        *(
            page.or_none(f"/v1/upstream/letters/{segment(a['incident'])}")
            for a in overview["attacks"]
        )
    )
    attacks = [
        attack | {"letter": letter["text"] if letter else ""}
        for attack, letter in zip(overview["attacks"], letters, strict=True)
    ]
    return await page.render("upstream.html.j2", **overview | {"attacks": attacks})


@router.get("/incidents")
async def incidents(page: PageIn) -> Response:
    """All incidents, the newest first."""
    listing = await page.api.get("/v1/incidents", limit=200)
    held, now = listing["incidents"], page.request.app.state.context.controller.clock.read().unix
    told = stories(held, now)[:_STORIES]
    return await page.render("incidents.html.j2", incidents=held, stories=told)


def _host(subject: str) -> str:
    """The victim, if it is a single address; else empty."""
    address = exact_address(subject_in_words(subject))
    return text_of(address) if address else ""


@router.get("/incidents/{identity}")
async def incident(identity: str, page: PageIn) -> Response:
    document = await page.api.get(f"/v1/incidents/{segment(identity)}")
    facts = report.facts(document)
    return await page.render(
        "incident.html.j2",
        incident=document,
        host=_host(document["subject"]),
        short=document["short"],
        facts=facts,
        timeline=[(plot.clock(at), line) for at, line in report.timeline(document)],
        senders=[
            (sender, report.standing(sender), report.place(sender))
            for sender in document["evidence"]["top_sources"]
        ],
        chart=plot.chart(document["evidence"]["rates"]),
        findings=report.findings(document),
        forged=report.FORGED,
        mine="operator" in document["detectors"],
    )


@router.get("/rules")
async def rules(
    page: PageIn,
    find: str = "",
    action: str = "",
    mode: str = "",
    origin: str = "",
    sort: str = "address",
    cursor: str = "",
) -> Response:
    """Rules: searched, filtered, sorted, page by page."""
    find = find.strip()
    query = {"action": action, "mode": mode, "origin": origin, "limit": _FOUND}
    query |= {"sort": sort} | ({"cursor": cursor} if sort == "address" else {})
    requests = [page.api.get("/v1/rules", **query, **search) for search in _searches(find)]
    monitored, sets, history, *answers = await asyncio.gather(
        _monitored(page), page.api.get("/v1/sets"), page.api.get("/v1/history", limit=10), *requests
    )
    by_id = {rule["id"]: rule for answer in answers for rule in answer["rules"]}
    return await page.render(
        "rules.html.j2",
        rules=list(by_id.values()),
        next=answers[-1]["next"],
        more=len(by_id) >= _FOUND,
        asked={"find": find, "action": action, "mode": mode, "origin": origin, "sort": sort},
        changes=history["changes"],
        actions=list(Action),
        monitored=monitored,
        sets=sets["sets"],
    )


async def _monitored(page: PageIn) -> list[Mapping[str, Any]]:
    """The rules in monitor mode, with their statistics."""
    listed = (await page.api.get("/v1/rules", mode="monitor", limit=_FOUND))["rules"]
    requests = [page.or_none(f"/v1/rules/{segment(rule['id'])}") for rule in listed]
    return [rule for rule in await asyncio.gather(*requests) if rule]


def _searches(find: str) -> list[dict[str, str]]:
    """Queries for the rules that cover a prefix or lie in it, or that begin with any other text."""
    if not find:
        return [{}]
    try:
        prefix = str(parse_prefix(find, "find"))
    except RuleError:
        return [{"begins": find[:64]}]
    return [{"covering": prefix}, {"within": prefix}]


@router.get("/system")
async def system(
    page: PageIn, actor: str = "", action: str = "", changed: str = "", since: str = ""
) -> Response:
    """The box: problems, interfaces, tables, audit log, tokens."""
    status, counters = await asyncio.gather(
        page.api.get("/v1/status"), page.api.get("/v1/counters")
    )
    filters = {"actor": actor, "action": action, "object": changed, "since": since}
    records = tokens = None
    if page.who.may(Role.OPERATOR):
        records = (await page.api.get("/v1/audit", last="true", limit=30, **filters))["records"]
    if page.who.may(Role.ADMIN):
        tokens = (await page.api.get("/v1/tokens"))["tokens"]
    return await page.render(
        "system.html.j2",
        status=status,
        counters=counters["total"],
        asked=filters,
        records=records[::-1] if records else records,
        tokens=tokens,
        findings=await page.api.get("/v1/doctor"),
    )
