# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of what is known of an address, and what is done with its packets."""

from pydantic import BaseModel, Field

from xdpctl.model.effect import Action, Mode
from xdpctl.watch.why import Verdict
from xdpctl_api.shapes.common import ReasonName
from xdpctl_api.shapes.rules import RuleOut


class EntryOut(BaseModel):
    """One entry that covers the address; exactly one of `rule`, `set` and `protected` is given."""

    prefix: str
    action: Action
    mode: Mode
    rule: str | None
    set: str | None
    out: bool = Field(description="Whether it is about what goes out to the address")
    protected: str | None = Field(description="Why it is protected")
    applied: bool = Field(
        description="False: listed, but not applied because the prefix is protected"
    )


class AnswerOut(BaseModel):
    """What the loaded program does with packets of these services, to these destinations."""

    services: list[str] = Field(examples=[["web (TCP 443)"]])
    to: list[str] = Field(description="Destinations that are protected, attacked or in a rule")
    verdict: Verdict = Field(
        description="limit: drops what exceeds it; challenge: passes who is shown to exist"
    )
    reason: ReasonName
    rule: RuleOut | None = Field(description="The rule that decided; null if none did")
    set: str | None = Field(description="The set that decided; null if none did")
    incident: str | None = Field(description="The incident of the rule that decided")


class WhyOut(BaseModel):
    """What is known of an address.

    `covering` is in the order of evaluation; the entries about what goes out come last.
    """

    address: str
    sentence: str = Field(description="What to tell somebody at this address who cannot get in")
    answers: list[AnswerOut] | None = Field(description="Null: the program cannot be asked now")
    sends: list[str] = Field(
        description="What is done with what a host inside sends from the address: limits of "
        "`detect.attackers_pps`, and `outside.source_validation`"
    )
    could_hit: list[RuleOut] = Field(
        description="Other rules that would take packets of this source, of other protocols or "
        "ports or to other destinations"
    )
    country: str | None
    asn: int | None
    as_name: str | None
    network: str | None = Field(description="The matching prefix in the database")
    database: str | None
    covering: list[EntryOut]
