# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of traffic figures, and of how services inside serve their clients."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from xdpctl.abi.sizes import WAITS
from xdpctl.base.net.prefix import text_of
from xdpctl.datapath.served import wait_bound
from xdpctl.model.effect import Action
from xdpctl.model.match.components import TCP
from xdpctl.model.naming import Names
from xdpctl.traffic.service_figures import Figures
from xdpctl.watch.condition import State
from xdpctl.watch.waiting import Waiting
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import Duration, Strict
from xdpctl_api.shapes.matches import LimitOut
from xdpctl_api.shapes.monitor import StatisticsOut
from xdpctl_api.shapes.rules import RuleOut

_HALF = (
    "which half of the clients did not exceed; measured in steps of a factor of four, and "
    f"{wait_bound(WAITS - 1):.1f} stands for all waits over {wait_bound(WAITS - 2):.1f}; "
    "null: few were measured"
)


class RowOut(BaseModel):
    """A value of a dimension, with the estimated rate of its packets."""

    value: str = Field(examples=["53", "198.51.100.7"])
    name: str = Field(default="", description="The name of the address or network, if it has one")
    packets: float = Field(description="Packets a second")
    bits: float = Field(description="Bits a second, of whole frames")
    share: float = Field(description="Share of the packets, 0 to 1")
    error: float = Field(description="Half width of the share's 95 % confidence interval")
    match: str | None = Field(
        description="A match of these packets, ready for a rule; null if there is none",
        examples=["dst 198.51.100.7 proto udp src-port 53"],
    )


class DimensionOut(BaseModel):
    """The most frequent values of a dimension."""

    by: str = Field(examples=["source_port"])
    without: float = Field(description="Share of the packets that have no such property")
    rows: list[RowOut] = Field(description="Most packets first")


class TrafficOut(BaseModel):
    """Estimates from sampled packets."""

    seconds: float = Field(description="Length of the window; less than asked after a start")
    sampled: int = Field(description="Number of sampled packets that the estimates are made from")
    missing: int = Field(description="Packets that could not be sampled, because there were many")
    packets: float = Field(description="Packets a second, of those chosen")
    bits: float = Field(description="Bits a second, of whole frames")
    dimensions: list[DimensionOut] = Field(description="In the order that was asked for")


class RecordedOut(TrafficOut):
    """The top lists of a minute, as they were recorded."""

    at: datetime = Field(description="When the minute began")


class SuggestIn(Strict):
    """The traffic to explain, and the traffic to compare it with."""

    window: Duration = Field(default=10.0, description="How far back: 1s to 60s")
    before: Duration = Field(
        default=3600.0, description="How long ago the traffic was that it is compared with"
    )


class SuggestionOut(BaseModel):
    """A match, and what it takes of the packets that no rule decided."""

    match: str = Field(examples=["dst 198.51.100.7 proto udp src-port 123"])
    words: str = Field(
        description="The match in words, with the names of hosts",
        examples=["UDP from port 123 to web server (198.51.100.7)"],
    )
    action: Action = Field(
        description="What to do about it: a challenge of SYNs lets in who exists; a drop is "
        "proposed if nearly nothing like it came earlier; else a limit"
    )
    does: str = Field(
        description="The action in words, with its limit", examples=["limit to 5,000 pps"]
    )
    limit: LimitOut | None = Field(description="The limit, for the action limit")
    packets: float = Field(description="Packets a second")
    bits: float = Field(description="Bits a second")
    share: float = Field(description="Share of the packets now, 0 to 1")
    error: float = Field(description="Half width of its 95 % confidence interval")
    before: float | None = Field(
        description="Share of the packets then that it would have taken; null: not known"
    )
    before_error: float | None = Field(description="Half width of its 95 % confidence interval")
    before_packets: float | None = Field(
        description="Packets a second that it would have taken then"
    )


class SuggestOut(BaseModel):
    """The narrowest matches that explain traffic that has grown."""

    seconds: float = Field(description="Length of the window")
    sampled: int = Field(description="Number of sampled packets now")
    before_seconds: float = Field(description="Length of the window then; 0: nothing is known")
    before_sampled: int = Field(description="Number of sampled packets then")
    matches: list[SuggestionOut] = Field(description="At most five")


class WaitingOut(RuleOut):
    """A rule in monitor mode that waits for a decision, with what is proposed."""

    proposed: Action = Field(
        description="Its action, or a drop if its limit would let most of the packets pass"
    )
    proposal: str = Field(
        description="The same in words",
        examples=["drop (a limit to 4,869 pps would let 83 % of it pass)"],
    )
    people: str = Field(
        description="How much of what it would hit people send",
        examples=["0 of 239,246 packets belong to known flows"],
    )


def waiting_out(
    rule: dict[str, Any], each: Waiting, statistics: StatisticsOut | None
) -> WaitingOut:
    """A rule that waits; `rule` has the fields of a RuleOut."""
    proposal = rule["does"]
    if each.leaks:
        proposal = f"drop (a {rule['does']} would let {each.leak:.0%} of it pass)"
    people = "whom it would hit is not known"
    if each.known is not None:
        people = f"{each.known:.1%} of these packets belong to known flows"
    if statistics and statistics.flows_asked:
        people = statistics.text
    return WaitingOut(
        **rule | {"rate": each.rate},
        statistics=statistics,
        proposed=each.proposed,
        proposal=proposal,
        people=people,
    )


class ConditionOut(BaseModel):
    """How the host is. `matches` are of packets that no rule decided, as in a suggestion."""

    state: State = Field(
        description="quiet: nothing to do; holding: rules of detectors keep something out, and "
        "people get in; hurting: people are hit, a flood passes, an uplink is full, or the filter "
        "does not work; "
        "unclear: it is not known"
    )
    reasons: list[str] = Field(description="Sentences that say why")
    seconds: float = Field(description="Length of the window")
    sampled: int = Field(description="Number of sampled packets that no rule decided")
    before_seconds: float = Field(description="Length of the window before; 0: nothing is known")
    waiting: list[WaitingOut] = Field(
        description="Rules on matches of detectors that observe, and that would hit something "
        "now: the best of those that hit nearly the same, none that would hit many known flows"
    )
    matches: list[SuggestionOut] = Field(
        description="At most five, of what rules at work or in `waiting` do not explain"
    )


class SeriesValues(BaseModel):
    """A figure over time; null where nothing was recorded."""

    averages: list[float | None]
    maxima: list[float | None] = Field(description="The largest second within each row")
    usual_low: list[float | None] | None = Field(
        default=None,
        description="If asked for: the least five-minute average within an hour of this time "
        "of the week, in the middle of up to four earlier weeks; of days while there are fewer "
        "than two",
    )
    usual_high: list[float | None] | None = Field(
        default=None, description="If asked for: the largest one"
    )


class SeriesOut(BaseModel):
    """Figures over time, in columns of equal length."""

    since: datetime = Field(description="When the first row begins")
    seconds: int = Field(description="The time that a row covers")
    figures: dict[str, SeriesValues] = Field(description="By name, in the order asked for")


class ServedOut(BaseModel):
    """A service inside: whom it has served in the last 20 s, as rates a minute."""

    address: str
    name: str = Field(description="The name of the address; empty if it has none")
    protocol: Literal["tcp", "udp"]
    port: int
    served: float = Field(description="Connections over TCP that it accepted, or answers over UDP")
    usual: float | None = Field(description="The usual number in this hour; null: not known")
    asked: float = Field(
        description="SYNs or questions, estimated from samples; those of attacks are among them"
    )
    syn_ack: float | None = Field(description=f"Seconds from the SYN to the SYN-ACK, {_HALF}")
    data: float | None = Field(
        description=f"Seconds from the end of the handshake to the first data, {_HALF}"
    )
    usual_data: float | None = Field(description="The usual wait in this hour")
    fails: str = Field(description="How it fails its clients; empty: it does not")


class ServedList(BaseModel):
    """The services that serve somebody, those that serve most first."""

    services: list[ServedOut]
    text: str = Field(
        description="Whether they fail their clients",
        examples=["7 of 9 services can be compared with what is usual, and none fails"],
    )
    next: Next


def served_out(figures: Figures, names: Names) -> ServedOut:
    """A service as the API shows it."""
    return ServedOut(
        address=text_of(figures.service.host),
        name=names.of(figures.service.host),
        protocol="tcp" if figures.service.protocol == TCP else "udp",
        port=figures.service.port,
        served=figures.served,
        usual=figures.usual,
        asked=figures.asked,
        syn_ack=figures.syn_ack,
        data=figures.data,
        usual_data=figures.usual_data,
        fails=figures.fails,
    )
