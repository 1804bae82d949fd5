# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of what detectors found: the reasons for a rule."""

from datetime import datetime

import msgspec
from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.model.incident import Incident
from xdpctl_api.shapes.common import KindName, timestamp


class CollateralOut(BaseModel):
    """What a match hits of normal traffic of a kind."""

    kind: KindName
    samples: int = Field(description="Packets of normal traffic that were looked at")
    hits: int = Field(description="Of these, packets that match")
    bound: float = Field(description="Upper 95 % confidence bound of the share, 0 to 1")


class DecidingOut(BaseModel):
    """A component that tells attack and normal traffic apart."""

    component: str
    values: str
    now: float = Field(description="Share of the packets now that have these values, 0 to 1")
    before: float | None = Field(
        description="Share of normal traffic of the kind that has them; null: none is known"
    )


class DistributionOut(BaseModel):
    """The shares of a component's values, now and in normal traffic."""

    component: str
    labels: list[str]
    now: list[float]
    before: list[float]


class RuleFindingOut(BaseModel):
    """The finding of a detector that a rule is based on. Rates are in packets a second."""

    rule: str
    at: datetime
    detector: str
    kind: KindName
    rate: float
    threshold: float
    usual: float = Field(description="The highest rate that was normal; 0: none is known")
    heads: int = Field(description="Packets that were looked at")
    coverage: float = Field(description="Share of these packets that match, 0 to 1")
    because: list[str]
    rejected: list[str] = Field(description="Matches that were not chosen, and why")
    deciding: list[DecidingOut]
    collateral: list[CollateralOut]
    picture: DistributionOut | None


def findings_out(incident: Incident) -> list[RuleFindingOut]:
    """What detectors found, in the order of time."""
    return [
        RuleFindingOut(
            rule=entry.rule,
            at=timestamp(entry.at),
            detector=entry.detector,
            **{name: msgspec.to_builtins(v) for name, v in structs.asdict(entry.finding).items()},
        )
        for entry in incident.findings
    ]
