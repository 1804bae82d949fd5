# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what a node of a fleet tries before all nodes have it."""

from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.model.shared import Outcome, Rollout
from xdpctl_api.shapes.common import timestamp


class RolloutOut(BaseModel):
    """What this node tries alone; then all nodes have it, or it is taken back."""

    number: int = Field(description="That of the change in the history of this node")
    by: str
    at: datetime
    until: datetime = Field(description="When all nodes get it, if nothing speaks against it")
    keys: list[str] = Field(description="The intents; none for a policy, or the node as it is")
    policy: str | None = Field(description="A policy that is tried; null for none")
    outcome: Outcome | None = Field(description="How it ended; null while it goes on")
    why: str


def rollout_out(number: str, rollout: Rollout) -> RolloutOut:
    """A rollout as the API shows it."""
    return RolloutOut(
        number=int(number),
        by=rollout.by,
        at=timestamp(rollout.at),
        until=timestamp(rollout.until),
        keys=list(rollout.keys)[:100],
        policy=rollout.policy,
        outcome=rollout.outcome,
        why=rollout.why,
    )
