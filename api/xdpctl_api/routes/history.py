# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes that list what people changed, and undo changes."""

import asyncio
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.control.operations.undo import Undone
from xdpctl.control.state.changes import summary
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit_search import LARGEST
from xdpctl.errors import CapacityError, NotFoundError, StoreError
from xdpctl.mitigation.undo import undo_change
from xdpctl_api.auth import Operator, Unbound, Viewer
from xdpctl_api.dependencies import Ctx, States
from xdpctl_api.paging import Cursor
from xdpctl_api.paging import number as number_of
from xdpctl_api.problems import GUARDED, refusals
from xdpctl_api.shapes.history import ChangeOut, ChangePage, UndoneOut, change_out, undone_out

router = APIRouter(prefix="/v1/history", tags=["history"])


@router.get("", responses=refusals(StoreError))
async def read_history(
    who: Viewer,
    ctx: Ctx,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Cursor = None,
) -> ChangePage:
    """Changes that people made, the newest first; the newest thousand are kept."""
    before = number_of(cursor, LARGEST)
    rows = await asyncio.to_thread(ctx.controller.store.summaries, before, limit + 1)
    grouped = [
        (number, [step for _, raw in steps if (step := summary(raw))])
        for number, steps in groupby(rows, key=lambda row: row[0])
    ]
    shown, more = grouped[:limit], len(grouped) > limit
    changes = [change_out(number, steps) for number, steps in shown if steps]
    return ChangePage(changes=changes, next=str(shown[-1][0]) if more else None)


@router.get("/{number}", responses=refusals(NotFoundError, StoreError))
async def read_change(number: int, who: Viewer, ctx: Ctx) -> ChangeOut:
    """One change."""
    rows = await asyncio.to_thread(ctx.controller.store.summaries, _bounded(number) + 1, 1)
    steps = [step for row_number, raw in rows if row_number == number and (step := summary(raw))]
    if not steps:
        raise NotFoundError(f"no change {number} is known: see GET /v1/history")
    return change_out(number, steps)


@router.post(
    "/{number}/undo",
    name="undo_change",
    responses=refusals(NotFoundError, *GUARDED, CapacityError),
)
async def undo(
    number: int,
    who: Operator,
    whole: Unbound,
    ctx: Ctx,
    states: States,
    dry_run: bool = False,
    force: bool = False,
) -> UndoneOut:
    """Put back what a change touched, as it was before.

    What was changed again since, or cannot be put back now, stays and is named in `reasons`.
    `force` is needed if this would drop most of this host's connections, or puts back a wide rule.
    """
    stored = await asyncio.to_thread(ctx.controller.store.parts, _bounded(number))
    hits = ctx.controller.hits

    def operation(draft: Draft) -> Undone:
        return undo_change(draft, number, stored, who, hits)

    change = ctx.controller.change_by(who, force, undoes=number)
    future = ctx.controller.submit(operation, change, states.scope, dry_run)
    undone = await asyncio.wrap_future(future)
    recorded = change if undone.restored and not dry_run else None
    where = await states.where(recorded, ())
    return undone_out(undone, dry_run, recorded.number if recorded else None, where)


def _bounded(number: int) -> int:
    if not 0 < number < LARGEST:
        raise NotFoundError(f"no change has the number {number}")
    return number
