# SPDX-License-Identifier: GPL-2.0-or-later
"""Handles a PUT of a set: reads the request, replaces the set, and builds the answer."""

from collections.abc import Callable

import pydantic
from fastapi import Request
from fastapi.exceptions import RequestValidationError

from xdpctl.errors import BusyError, RuleError
from xdpctl.lists.formats import Feed
from xdpctl.lists.replacement import Prepared, Replacement
from xdpctl.model.identity import Caller
from xdpctl.model.names import check_name
from xdpctl.model.shared import Scope
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.shapes.fleet import FOR_WHOM
from xdpctl_api.shapes.imports import RejectOut
from xdpctl_api.shapes.set_requests import ListQuery, SetChoices, SetIn
from xdpctl_api.shapes.sets import SetAnswer, set_out
from xdpctl_api.transport.bodies import check_unpacked, read_all

JSON = "application/json"


async def replace_set(
    ctx: ControlPlane,
    name: str,
    who: Caller,
    request: Request,
    query: ListQuery,
    etag: str | None,
    scope: Scope,
) -> SetAnswer:
    """Create or replace a set from a request; return the answer.

    BusyError if the caller has disconnected: nothing is done then. TooLarge for a large body.
    """
    replacement = Replacement(
        ctx.controller, ctx.refresher, ctx.pools.fetches, check_name(name, "name")
    )
    data = await read_all(request, ctx.settings.bulk_max_bytes)
    kind = request.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
    document = kind == JSON and query.format == "auto"
    choices: SetChoices = _document(data, query) if document else query
    prepared = await _prepared(ctx, replacement, data, choices)
    if await request.is_disconnected():
        raise BusyError("the caller has disconnected; nothing was done")
    replaced = await replacement.decide(prepared, who, etag, choices.dry_run, scope)
    changed = replaced.changed
    return SetAnswer(
        **set_out(ctx, changed.set, prepared.request.entries if choices.dry_run else None),
        created=changed.created,
        changed=replaced.differs,
        dry_run=choices.dry_run,
        rejects=[RejectOut(**reject) for reject in prepared.listed.rejects],
        warnings=changed.warnings + ctx.senders.gaps(changed.set),
        change=replaced.number,
    )


async def _prepared(
    ctx: ControlPlane, replacement: Replacement, data: bytes, choices: SetChoices
) -> Prepared:
    if not isinstance(choices, SetIn):
        return await replacement.of_list(_reader(ctx, data, choices), choices.choices)
    if (choices.prefixes is None) == (choices.feed is None):
        raise RuleError("give either prefixes or a feed", "prefixes", "send exactly one of the two")
    if choices.feed:
        return await replacement.of_feed(choices.feed.source(), choices.choices)
    lines = "\n".join(choices.prefixes or ()).encode()
    parse = ctx.refresher.source.parse
    read = (lambda: parse(lines, "plain", "")) if choices.prefixes else None
    return await replacement.of_list(read, choices.choices)


def _reader(ctx: ControlPlane, data: bytes, choices: SetChoices) -> Callable[[], Feed]:
    assert isinstance(choices, ListQuery)  # noqa: S101  # all but SetIn is one

    def read() -> Feed:
        check_unpacked(data, ctx.settings.bulk_max_bytes)
        return ctx.refresher.source.parse(data, choices.format, choices.column)

    return read


def _document(data: bytes, query: ListQuery) -> SetIn:
    for field in query.model_fields_set - FOR_WHOM:
        raise RuleError(f"{field} is in the query", field, "put it into the JSON document")
    try:
        return SetIn.model_validate_json(data)
    except pydantic.ValidationError as error:
        errors = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(errors) from None
