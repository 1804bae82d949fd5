# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of tokens and of the bypass."""

from datetime import datetime

from pydantic import BaseModel, Field, StrictBool

from xdpctl.model.identity import Role
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
