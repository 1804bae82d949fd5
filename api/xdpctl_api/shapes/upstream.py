# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what is upstream: the uplinks, and what to ask of the provider."""

from math import isnan

from pydantic import BaseModel, Field

from xdpctl.upstream.link import Link
from xdpctl.upstream.request import Kind, Request


class UplinkOut(BaseModel):
    """An interface to a provider, as of its last second."""

    interface: str
    bits_in: int = Field(description="Its rate in bits a second, as configured")
    filtered: bool = Field(description="Whether the filter sees it: interfaces has it")
    bits: float | None = Field(description="Bits a second that arrive, on the wire")
    share: float | None = Field(description="Of its rate; null: not known yet")
    lost: float | None = Field(description="Packets a second that the device loses before us")
    full_for: int = Field(description="Seconds; 0: it is not full")
    why: str
    rate_is_wrong: bool = Field(description="More came than bits_in: it is configured too low")


class RequestOut(BaseModel):
    """Something to ask of the provider."""

    kind: Kind
    route: str = Field(description="In the syntax of ExaBGP")
    what: str
    cost: str = Field(description="What it costs whom")


class AttackOut(BaseModel):
    """An open incident, with what to ask about it; the least costly first."""

    incident: str
    subject: str
    requests: list[RequestOut]


class UpstreamOut(BaseModel):
    """The uplinks, and what to ask of the provider about each open incident."""

    uplinks: list[UplinkOut]
    attacks: list[AttackOut]


class LetterOut(BaseModel):
    """A letter to the provider's NOC, to be completed and sent by a person."""

    text: str


def uplink_out(link: Link, filtered: bool) -> UplinkOut:
    """One uplink."""
    state = link.state
    return UplinkOut(
        interface=link.uplink.interface,
        bits_in=link.uplink.bits_in,
        filtered=filtered,
        bits=_known(state.reading.bits),
        share=_known(state.share),
        lost=_known(state.reading.lost),
        full_for=state.full_for,
        why=state.why,
        rate_is_wrong=state.rate_is_wrong,
    )


def request_out(request: Request) -> RequestOut:
    """One request."""
    return RequestOut(**request._asdict())


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 4)
