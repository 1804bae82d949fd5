# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the embedded detector: what it does, and what it knows of a destination."""

from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.flood.mitigation import State
from xdpctl.flood.settings import Most
from xdpctl.model.effect import Action
from xdpctl.processes.detector.status import DetectorStatus
from xdpctl_api.shapes.common import KindName, timestamp


class MitigationOut(BaseModel):
    """A mitigation of the detector that stands."""

    id: str = Field(description="Id of the event at the detector")
    victim: str
    kind: KindName
    match: str
    action: Action
    state: str = Field(
        json_schema_extra={"enum": list(State)},
        description="attack: packets hit the rule; waiting: none do, and the rule stays; probing: "
        "the rule is in monitor mode, to see whether the attack goes on",
    )
    rate: float = Field(description="Packets a second that its rule hits")
    began: datetime = Field(description="When its rule was made")
    quiet: float = Field(description="Seconds for which the rule stays after the last hits")
    refused: str = Field(description="Why it is not in force; empty if it is")


class DetectOut(BaseModel):
    """The embedded detector."""

    mode: Most = Field(description="The most that it may do, as configured")
    runs: bool = Field(description="Whether it has reported in the last 10 seconds")
    pid: int | None
    since: datetime | None = Field(description="When it began to learn")
    learning: float = Field(
        description="Seconds for which it still drops only traffic that is unsolicited by nature"
    )
    overrun: int = Field(
        description="How often observed packets were overwritten before it read them"
    )
    taught: bool = Field(description="Whether it has seen packets of known flows")
    normal: dict[str, int] = Field(
        description="How many packets of normal traffic are kept, by kind"
    )
    mitigations: list[MitigationOut]


class KindOut(BaseModel):
    """Packets of a kind to the destination, in packets a second."""

    kind: KindName
    now: float = Field(
        description="In the last second; only packets of no known flow that no rule decided"
    )
    usual: float = Field(description="The highest rate that was normal; 0: none is known")
    threshold: float = Field(description="The rate from which on they count as an attack")
    floor: float = Field(description="The lowest threshold, as configured")
    mode: Most = Field(description="The most that the detector may do about it")
    meets: str = Field(
        description="The most that it does now about an attack of this kind: drop, challenge, "
        "limit, watch or nothing"
    )
    later: str = Field(description="The same, once it has learnt for long enough")


class DestinationOut(BaseModel):
    """What the detector knows of a destination."""

    destination: str
    protected: bool = Field(description="Whether attacks on it are looked for")
    learning: float = Field(description="Seconds until `later` applies")
    kinds: list[KindOut]
    mitigations: list[MitigationOut] = Field(description="What is done about attacks on it")


def mitigations_out(status: DetectorStatus | None) -> list[MitigationOut]:
    """The mitigations that are in force."""
    return [
        MitigationOut(
            id=mitigation.id,
            victim=mitigation.victim,
            kind=mitigation.kind,
            match=mitigation.match,
            action=Action(mitigation.action),
            state=mitigation.state,
            rate=mitigation.rate,
            began=timestamp(mitigation.began),
            quiet=mitigation.quiet,
            refused=mitigation.refused,
        )
        for mitigation in (status.mitigations if status else [])
    ]


def detect_out(mode: Most, status: DetectorStatus | None) -> DetectOut:
    """What the detector has reported."""
    runs = status is not None and not status.silent
    return DetectOut(
        mode=mode,
        runs=runs,
        pid=status.pid if status and runs else None,
        since=timestamp(status.since) if status and status.since else None,
        learning=status.learning if status else 0.0,
        overrun=status.overrun if status else 0,
        taught=bool(status and status.taught),
        normal=status.normal if status else {},
        mitigations=mitigations_out(status),
    )
