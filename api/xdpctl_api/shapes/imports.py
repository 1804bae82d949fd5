# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of imports: how many lines were applied, and which were refused."""

from pydantic import BaseModel, Field

from xdpctl_api.shapes.fleet import WhereOut, absent


class RejectOut(BaseModel):
    """A line that was refused."""

    line: int = Field(description="Number of the line, from 1")
    text: str = Field(description="Its first characters")
    error: str
    fix: str = Field(description="What to write instead; may be empty")


class ImportOut(BaseModel):
    """The result of an import; `rejects` has at most 1,000 of the `rejected` lines."""

    added: int = Field(description="Number of new rules")
    extended: int = Field(description="Number of rules that existed and now last longer")
    rejected: int = Field(description="Number of lines that were refused")
    rejects: list[RejectOut]
    dry_run: bool
    change: int | None = Field(default=None, description="Number of the change, to undo it")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )
