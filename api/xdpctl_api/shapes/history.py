# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the changes that people made."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.control.operations.undo import Undone
from xdpctl.control.state.changes import Summary
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.fleet import WhereOut, absent


class ChangeOut(BaseModel):
    """A change; `records` is how many rules, sets and settings it touched."""

    number: int
    at: datetime
    actor: str
    action: str = Field(description="As in the audit log: rule.add, set.change")
    subject: str
    records: int
    undoes: int | None = Field(description="The number of the change that this one undid")


class ChangePage(BaseModel):
    """One page, the newest changes first."""

    changes: list[ChangeOut]
    next: Next


class Kept(BaseModel):
    """A record that an undo left as it is."""

    subject: str
    why: str


class UndoneOut(BaseModel):
    """How many records were put back, and which were not; `reasons` has at most 1,000."""

    restored: int
    kept: int
    reasons: list[Kept]
    dry_run: bool
    change: int | None = Field(description="Number of this change, to undo the undo")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )


def undone_out(
    undone: Undone, dry_run: bool, change: int | None, where: WhereOut | None
) -> UndoneOut:
    """What an undo did; `change` is its number, and `where` says where it is in force."""
    return UndoneOut(
        restored=undone.restored,
        kept=undone.kept,
        reasons=[Kept(subject=subject, why=why) for subject, why in undone.reasons],
        dry_run=dry_run,
        change=change,
        fleet=where,
    )


def change_out(number: int, steps: Sequence[Summary]) -> ChangeOut:
    """A change of one or several steps."""
    first = steps[0]
    return ChangeOut(
        number=number,
        at=timestamp(first.at),
        actor=first.actor,
        action=first.action,
        subject=first.subject,
        records=sum(step.records for step in steps),
        undoes=first.undoes or None,
    )
