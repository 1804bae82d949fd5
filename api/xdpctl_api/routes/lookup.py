# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks up an address: its place, and the rules and sets that cover it."""

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from xdpctl.base.net.prefix import parse_address
from xdpctl.control.state.coverage import MatchingEntry, covering
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConfigError
from xdpctl.model.effect import Action, Mode
from xdpctl_api.auth import AnyReader
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals

router = APIRouter(prefix="/v1/lookup", tags=["explain"])


class EntryOut(BaseModel):
    """One entry that covers the address; exactly one of `rule`, `set` and `protected` is given."""

    prefix: str
    action: Action
    mode: Mode
    rule: str | None
    set: str | None
    protected: str | None = Field(description="Why it is protected")
    applied: bool = Field(
        description="False: listed, but not applied because the prefix is protected"
    )


class LookupOut(BaseModel):
    """What is known of an address. `covering` is in the order of evaluation."""

    address: str
    country: str | None
    asn: int | None
    as_name: str | None
    network: str | None = Field(description="The matching prefix in the database")
    database: str | None
    covering: list[EntryOut]


@router.get("/{address}", responses=refusals(ConfigError))
async def look_up(address: str, who: AnyReader, ctx: Ctx) -> LookupOut:
    """Country and AS of an address, if a database is installed, and all entries that cover it."""
    source = parse_address(address, "address")
    draft = Draft(ctx.controller.state, ctx.controller.clock.read())
    entries = [_out(entry) for entry in covering(draft, source)]
    database = await asyncio.to_thread(ctx.geo_databases.current)
    place = await asyncio.to_thread(database.lookup, source) if database else None
    where: dict[str, Any] = dict.fromkeys(("country", "asn", "as_name", "network"))
    if place:
        where = {
            "country": place.country or None,
            "asn": place.asn or None,
            "as_name": place.as_name or None,
            "network": place.network or None,
        }
    description = database.description if database else None
    text = str(source).split("/")[0]
    return LookupOut(address=text, **where, database=description, covering=entries)


def _out(entry: MatchingEntry) -> EntryOut:
    return EntryOut(
        prefix=str(entry.prefix),
        action=entry.action,
        mode=entry.mode,
        rule=entry.rule.id if entry.rule else None,
        set=entry.set.name if entry.set else None,
        protected=entry.protected or None,
        applied=entry.applied,
    )
