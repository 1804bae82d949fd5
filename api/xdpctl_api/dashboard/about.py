# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages about one address: why it gets in or not, and how a host of ours is."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from xdpctl.base.net.prefix import parse_address, text_of
from xdpctl.model.identity import Role
from xdpctl.model.tags import incident_of
from xdpctl_api.dashboard.api_calls import segment
from xdpctl_api.dashboard.page import PageIn, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_WHAT = "source_network,source_port,destination_port"
_TOP_ROWS, _RULES, _INCIDENTS = 6, 50, 12


@router.get("/why")
async def why(page: PageIn, address: str = "") -> Response:
    """What is known of an address, and what the loaded program does with its packets."""
    if not address:
        return await page.render("why.html.j2", address="", found=None)
    source = str(parse_address(address.strip(), "address")).split("/")[0]
    found = await page.api.get(f"/v1/why/{segment(source)}")
    ids = [entry["rule"] for entry in found["covering"] if entry["rule"]]
    covering = {}
    if page.who.may(Role.VIEWER):
        requests = [page.or_none(f"/v1/rules/{segment(identity)}") for identity in ids[:10]]
        covering = {rule["id"]: rule for rule in await asyncio.gather(*requests) if rule}
    return await page.render(
        "why.html.j2",
        address=found["address"],
        found=found,
        rules=covering,
        audit=await _who_did(page, ids),
        incident_of=lambda rule: incident_of(rule["tags"]),
    )


async def _who_did(page: PageIn, ids: list[str]) -> list[Mapping[str, Any]]:
    """The newest audit records of these rules, for those who may read them."""
    if not page.who.may(Role.OPERATOR):
        return []
    requests = [
        page.or_none("/v1/audit", object=identity, last="true", limit=3) for identity in ids[:5]
    ]
    return [
        record
        for answer in await asyncio.gather(*requests)
        if answer
        for record in answer["records"]
    ]


@router.get("/hosts/{address}")
async def host(address: str, page: PageIn) -> Response:
    """One host inside: whom it serves, what is sent to it, its rules and incidents."""
    where = parse_address(address, "address")
    name, found = text_of(where), page.request.app.state.context.names.of(where)
    seen: dict[str, Any] = {"where": f"dst {name}", "window": "10s", "limit": _TOP_ROWS}
    passed, dropped, served, rules, incidents = await asyncio.gather(
        page.or_none("/v1/top", verdict="pass", by=_WHAT, **seen),
        page.or_none("/v1/top", verdict="drop", by=_WHAT, **seen),
        page.or_none("/v1/served", at=name),
        page.api.get("/v1/rules", to=name, sort="rate", limit=_RULES),
        page.api.get("/v1/incidents", victim=name, limit=_INCIDENTS),
    )
    return await page.render(
        "host.html.j2",
        address=name,
        name=found,
        passed=passed,
        dropped=dropped,
        services=served["services"] if served else None,
        rules=rules["rules"],
        more_rules=len(rules["rules"]) >= _RULES,
        incidents=incidents["incidents"],
        tops=passed["dimensions"] if passed else None,
        headings={
            "source_network": "From",
            "source_port": "From port",
            "destination_port": "To port",
        },
    )
