# SPDX-License-Identifier: GPL-2.0-or-later
"""What all shapes of v1 are made of."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictFloat

from xdpctl.base.durations import parse_duration

Duration = Annotated[
    StrictFloat | str,  # true is no second
    Field(description="Seconds, or text such as 15m, 1h30m", examples=["15m", 900]),
]


class Strict(BaseModel):
    """Unknown fields are errors: a typing mistake must not become a wider rule."""

    model_config = ConfigDict(extra="forbid")


def seconds(value: float | str | None, field: str) -> float | None:
    """Seconds of a number or of a text like `1h30m`; RuleError names the field."""
    return parse_duration(value, field) if isinstance(value, str) else value


def timestamp(unix: float) -> datetime:
    """Unix seconds as UTC; what lies before 1970 or after 2**40 seconds is cut off there."""
    return datetime.fromtimestamp(min(max(unix, 0), 2**40), UTC)
