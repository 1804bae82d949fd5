# SPDX-License-Identifier: GPL-2.0-or-later
"""API model of an explanation."""

from typing import Literal

from pydantic import BaseModel, Field

from xdpctl_api.shapes.common import ProtectedOut, ReasonName
from xdpctl_api.shapes.rules import RuleOut


class ExplainOut(BaseModel):
    """The verdict of the loaded program, and the rule or set that decided."""

    verdict: Literal["drop", "pass"]
    reason: ReasonName
    rule: RuleOut | None = Field(description="The rule that decided; null if none did")
    set: str | None = Field(description="The set that decided; null if none did")
    protected_by: ProtectedOut | None = Field(description="The prefix that let it pass")
    within: list[RuleOut] = Field(description="Limits that the packet did not exceed")
    monitored: list[RuleOut] = Field(description="Rules in monitor mode that it met")
    monitored_sets: list[str] = Field(description="Sets in monitor mode that it met")
    behind: list[RuleOut] = Field(
        description="Rules that also match, but are evaluated after the deciding one"
    )
    could_hit: list[RuleOut] = Field(
        description="Other rules that would take packets of this source: to other destinations, of "
        "other protocols or ports"
    )
    destinations: int = Field(
        description="Number of destinations that were tried: without `destination`, all that are "
        "protected, attacked or in a rule. The answer is of the first to which it does not pass"
    )
    frame: str = Field(description="The packet, as an Ethernet frame in hex")
