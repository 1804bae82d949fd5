# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of a fleet's engine."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.fleet.engine.values import EngineMember
from xdpctl.fleet.relays import RelayReport, SeenRelay
from xdpctl.fleet.troubles import MemberState, quorum, state_of, words_of
from xdpctl_api.shapes.common import timestamp


class EngineMemberOut(BaseModel):
    """A member of the engine; what is null is not known, because it has not answered yet."""

    name: str
    endpoint: str = Field(description="HOST:PORT; empty: it was never started")
    state: MemberState = Field(
        description="learner: it does not vote yet; lost: it knows no leader"
    )
    text: str = Field(description="Its state in words: silent for 12s")
    silent_for: float | None = Field(description="Seconds since it answered; null: never")
    version: str | None
    bytes: int | None = Field(description="Size of its database")
    bytes_used: int | None = Field(description="What defragmentation would leave of it")
    behind: int | None = Field(description="Changes that others have and it lacks")
    alarms: list[str] = Field(description="etcd's names: NOSPACE, CORRUPT")


class RelayOut(BaseModel):
    """A relay, which passes the engine on to nodes."""

    name: str
    endpoint: str = Field(description="HOST:PORT")
    joined: bool = Field(description="Whether a host has joined with its token")
    answers: bool = Field(description="Whether it says that it is alive")
    nodes: int = Field(description="How many nodes use it now")
    version: str
    certificate_ends: datetime | None


class EngineOut(BaseModel):
    """The engine as this node sees it."""

    endpoint: str = Field(description="The member, or the relay, that this node asks")
    text: str = Field(description="In words: 3 of 3 members answer; one of them may fail")
    may_fail: int | None = Field(
        description="How many more members may fail; negative: there is no quorum; null: not known"
    )
    members: list[EngineMemberOut] = Field(description="All members, by name")
    problem: str


def relay_out(relay: SeenRelay) -> RelayOut:
    """A relay as this node sees it."""
    report = relay.report or RelayReport()
    return RelayOut(
        name=relay.name,
        endpoint=relay.endpoint,
        joined=relay.joined,
        answers=relay.answers,
        nodes=report.nodes,
        version=report.version,
        certificate_ends=timestamp(report.expires) if report.expires else None,
    )


def engine_out(
    endpoint: str, members: Sequence[EngineMember], problem: str, now: float, relayed: bool
) -> EngineOut:
    """The engine as of `now` (monotonic seconds); `relayed`: this node knows no members."""
    unknown = "asked through a relay" if relayed else "no member has answered yet"
    known = quorum(members, now)
    newest = max((member.applied for member in members), default=0)
    return EngineOut(
        endpoint=endpoint,
        text=str(known) if members else unknown,
        may_fail=known.may_fail if members else None,
        members=[_member_out(member, newest, now) for member in members],
        problem=problem,
    )


def _member_out(member: EngineMember, newest: int, now: float) -> EngineMemberOut:
    heard = bool(member.heard)
    return EngineMemberOut(
        name=member.name,
        endpoint=member.endpoint,
        state=state_of(member, now),
        text=words_of(member, now),
        silent_for=round(member.silent(now), 1) if heard else None,
        version=member.version if heard else None,
        bytes=member.bytes if heard else None,
        bytes_used=member.bytes_used if heard else None,
        behind=newest - member.applied if heard else None,
        alarms=list(member.alarms),
    )
