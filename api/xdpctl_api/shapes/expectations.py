# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what an operator expects."""

from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.model.expectation import Expectation
from xdpctl_api.shapes.common import Duration, Strict, timestamp

_DESTINATION = Field(default="", description="Address or prefix; empty: all that is protected")
_KIND = Field(default="", description="A kind of packets; empty: each kind", examples=["udp"])
_TIMES = Field(default=0.0, ge=0, description="Up to so many times the threshold of a kind")
_PPS = Field(default=0.0, ge=0, description="Or up to so many packets a second of a kind")
_AT = Field(default="", description="Time of day, of this host; empty: always", examples=["08:15"])
_DAYS: list[str] = Field(default=[], max_length=7, description="Days of the week; empty: every day")
_ON = Field(default="", description="Or one date", examples=["2026-12-01"])


class ExpectationIn(Strict):
    """What is expected, and when."""

    name: str
    destination: str = _DESTINATION
    kind: str = _KIND
    times: float = _TIMES
    pps: float = _PPS
    at: str = _AT
    lasts: Duration | None = None
    days: list[str] = _DAYS
    on: str = _ON
    reason: str = ""


class ExpectationOut(BaseModel):
    """What is expected, and when."""

    name: str
    destination: str = _DESTINATION
    kind: str = _KIND
    times: float = _TIMES
    pps: float = _PPS
    at: str = _AT
    lasts: float = Field(description="For how many seconds from then on; 0: always")
    days: list[str] = _DAYS
    on: str = _ON
    reason: str
    by: str
    created_at: datetime
    now: bool = Field(description="Whether it is expected at this moment")
    text: str = Field(examples=["up to 5 times the threshold to 192.0.2.0/24"])


class ExpectationList(BaseModel):
    """All that is expected, by name."""

    expectations: list[ExpectationOut]


class AllowedOut(BaseModel):
    """What became of an incident that is legitimate."""

    removed: list[str] = Field(description="Ids of the rules that ended")
    expected: list[ExpectationOut]


def expectation_out(each: Expectation, unix: float) -> ExpectationOut:
    """An expectation as the API shows it at a Unix time."""
    return ExpectationOut(
        name=each.name,
        destination=each.destination,
        kind=each.kind,
        times=each.times,
        pps=each.pps,
        at=each.at,
        lasts=each.seconds,
        days=list(each.days),
        on=each.on,
        reason=each.reason,
        by=each.by,
        created_at=timestamp(each.created_at),
        now=each.now(unix),
        text=str(each),
    )
