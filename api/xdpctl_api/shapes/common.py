# SPDX-License-Identifier: GPL-2.0-or-later
"""Types that the API models of v1 share, and the API model of errors."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictFloat

from xdpctl.abi.constants import Reason, Traffic
from xdpctl.base.durations import parse_duration

Duration = Annotated[
    StrictFloat | str,  # strict, so that true is not 1 second
    Field(description="Seconds, or text such as 15m, 1h30m", examples=["15m", 900]),
]


KindName = Annotated[
    str,
    Field(
        description="Kind of packets; the reference lists them",
        json_schema_extra={"enum": [kind.setting for kind in Traffic]},
    ),
]
REASONS = [each.name.lower() for each in Reason if each is not Reason.NONE]
ReasonName = Annotated[
    str,
    Field(
        description="Why packets passed or were dropped, as in the counters",
        json_schema_extra={"enum": REASONS},
    ),
]


CHOSEN = {"enum": ["drop", "pass", "all", *REASONS]}  # a verdict, or a reason


class ProtectedOut(BaseModel):
    """A protected prefix."""

    prefix: str
    why: str = Field(description="Why it is protected")


class Strict(BaseModel):
    """Base of requests. Unknown fields are errors, so that a typo does not become a wider rule."""

    model_config = ConfigDict(extra="forbid")


def seconds(value: float | str | None, field: str) -> float | None:
    """Seconds of a number or of text such as `1h30m`. RuleError, with `field`, if it is invalid."""
    return parse_duration(value, field) if isinstance(value, str) else value


_LAST = 253_402_300_799  # Unix time at the end of the year 9999


@lru_cache(1024)  # because many rules of a list have the same time
def timestamp(unix: float) -> datetime:
    """Unix seconds as a datetime in UTC, limited to 1970 until the end of the year 9999."""
    return datetime.fromtimestamp(min(max(unix, 0), _LAST), UTC)


class FieldProblem(BaseModel):
    """A field of the request that is not valid."""

    field: str = Field(description="Path of the field, with dots; empty for the whole body")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). Members that would be empty are left out."""

    type: str = Field(
        description="Kind of the error; the reference lists them",
        examples=["urn:xdpctl:problem:lockout"],
    )
    title: str = Field(description="The kind in words, the same for each error of the kind")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong with this request")
    field: str = Field(default="", description="The field that is wrong: `match.source`")
    fix: str = Field(default="", description="What to do instead")
    errors: list[FieldProblem] = Field(
        default=[], description="Each field that is not valid, if the request is malformed"
    )
