# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the traffic that an operator expects."""

from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.abi.constants import Traffic
from xdpctl.model.expectation import DAYS, Expectation
from xdpctl_api.shapes.common import Duration, Strict, timestamp


class _Expected(BaseModel):
    """What is expected, and when; subclasses add for how long."""

    name: str
    destination: str = Field(
        default="", description="Address or prefix; empty: all that is protected"
    )
    kind: str = Field(
        default="",
        description="A kind of packets; empty: each kind, except those that come only as answers",
        examples=["udp"],
        json_schema_extra={"pattern": f"^({'|'.join(kind.setting for kind in Traffic)}|)$"},
    )
    times: float = Field(
        default=0.0, ge=0, description="Up to so many times the threshold of a kind"
    )
    pps: float = Field(
        default=0.0, ge=0, description="Or up to so many packets a second of a kind, in total"
    )
    at: str = Field(
        default="",
        description="Time of day, of this host; empty: always",
        examples=["08:15"],
        json_schema_extra={"pattern": r"^([01]?[0-9]|2[0-3]):[0-5]?[0-9]$|^$"},
    )
    days: list[str] = Field(
        default=[],
        max_length=7,
        description="Days of the week; empty: every day",
        json_schema_extra={"items": {"type": "string", "enum": list(DAYS)}},
    )
    on: str = Field(
        default="",
        description="Or one date",
        examples=["2026-12-01"],
        json_schema_extra={"pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$|^$"},
    )
    reason: str = ""


class ExpectationIn(Strict, _Expected):
    """What is expected, and when."""

    lasts: Duration | None = None


class ExpectationOut(_Expected):
    """What is expected, and when."""

    lasts: float = Field(description="For how many seconds from then on; 0: always")
    by: str
    created_at: datetime
    now: bool = Field(description="Whether it is expected at this moment")
    text: str = Field(examples=["up to 5 times the threshold to 192.0.2.0/24"])


class ExpectationList(BaseModel):
    """All expectations, by name."""

    expectations: list[ExpectationOut]


class AllowedOut(BaseModel):
    """What became of an incident that is legitimate."""

    removed: list[str] = Field(description="Ids of the rules that ended")
    expected: list[ExpectationOut]


def expectation_out(expectation: Expectation, unix: float) -> ExpectationOut:
    """An expectation as the API shows it at a Unix time."""
    return ExpectationOut(
        name=expectation.name,
        destination=expectation.destination,
        kind=expectation.kind,
        times=expectation.times,
        pps=expectation.pps,
        at=expectation.at,
        lasts=expectation.seconds,
        days=list(expectation.days),
        on=expectation.on,
        reason=expectation.reason,
        by=expectation.by,
        created_at=timestamp(expectation.created_at),
        now=expectation.now(unix),
        text=str(expectation),
    )
