# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of the audit log."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


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
    """Records, the oldest first."""

    records: list[AuditRecord]


class AuditVerdict(BaseModel):
    """Whether the audit log is as it was written."""

    records: int = Field(description="Number of records that were read")
    problem: str | None = Field(description="What was tampered with; null if nothing was")
    last_hash: str = Field(description="Hash of the newest record, in hex")
    signed_to: int | None = Field(
        description="Number of the newest record whose hash is signed and stored separately"
    )
