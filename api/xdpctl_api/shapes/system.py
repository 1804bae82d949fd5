# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of tokens, the bypass and the audit log."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, StrictBool

from xdpctl.model.identity import Role
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import Duration, Strict
from xdpctl_api.shapes.fleet import WhereOut, absent


class TokenIn(Strict):
    """A request for a token."""

    name: str
    role: Role
    origin: str | None = None
    ttl: Duration | None = None


class TokenOut(BaseModel):
    """A token; `secret` is null except in the answer that creates it."""

    name: str
    role: Role
    origin: str
    created_at: datetime
    expires_at: datetime | None
    secret: str | None = Field(
        default=None, description="Shown only once, when the token is created"
    )


class TokenList(BaseModel):
    """All tokens, without their secrets."""

    tokens: list[TokenOut]


class BypassIn(Strict):
    """The state to which the emergency bypass is switched."""

    on: StrictBool
    fleet: StrictBool = Field(default=False, description="On all nodes of the fleet")


class BypassOut(BaseModel):
    """Whether the bypass is on, and whether the change is in the audit log."""

    on: bool
    audited: bool
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )


class AuditRecord(BaseModel):
    """Who changed what, and when."""

    sequence: int = Field(description="Number of the record, from 1")
    at: datetime
    actor: str = Field(description="User of the Unix socket, or `token NAME`")
    action: str = Field(examples=["rule.add"])
    subject: str = Field(description="What was changed: the id of a rule, a set")
    detail: dict[str, Any] = Field(description="What else is known; depends on the action")
    previous: str = Field(description="Hash of the record before, in hex")
    hash: str = Field(description="SHA-256 of this record, in hex")


class AuditPage(BaseModel):
    """One page of records, the oldest first."""

    records: list[AuditRecord]
    next: Next


class AuditVerdict(BaseModel):
    """Whether the audit log is as it was written."""

    records: int = Field(description="Number of records that were read")
    problem: str | None = Field(description="What was tampered with; null if nothing was")
    last_hash: str = Field(description="Hash of the newest record, in hex")
    signed_to: int | None = Field(
        description="Number of the newest record whose hash is signed and stored separately"
    )
