# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of matches and limits in v1, and their conversion to the internal model."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StrictInt, StrictStr

from xdpctl.model.match import text
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import Rate, read_rate
from xdpctl_api.shapes.common import Duration, Strict

Values = StrictStr | StrictInt | list[StrictStr | StrictInt] | None


class MatchIn(Strict):
    """FlowSpec components (RFC 8955, RFC 8956) and four more; a packet must match all.

    Numeric values are a number, a list `53,123`, a range `1024-65535`, or comparisons `>=512`,
    `!=80`, `>100&<200`. Bit values are names joined by `+` (all of them), `&` (and) and `,` (or),
    with `!` for not. A payload is `@0 ffffffff54`: an offset and bytes, with a mask behind `/`, and
    with `!` for other bytes; two of them are joined by `&`.
    """

    source: str | None = Field(default=None, examples=["203.0.113.0/24"], max_length=64)
    destination: str | None = Field(default=None, examples=["198.51.100.7"], max_length=64)
    protocol: Values = Field(default=None, examples=["udp"])
    port: Values = Field(default=None, description="Source or destination port, TCP and UDP")
    destination_port: Values = None
    source_port: Values = Field(default=None, examples=["53,123"])
    icmp_type: Values = None
    icmp_code: Values = None
    tcp_flags: Values = Field(default=None, examples=["syn&!ack"])
    packet_length: Values = Field(
        default=None,
        description="Length of the IP packet with its header, in bytes",
        examples=[">=512"],
    )
    dscp: Values = None
    fragment: Values = Field(default=None, description="dont, later, first, last")
    flow_label: Values = None
    ttl: Values = Field(default=None, description="IPv4 time to live, or IPv6 hop limit")
    vlan: Values = Field(default=None, description="VLAN id of the outermost tag")
    payload: StrictStr | None = Field(
        default=None,
        max_length=128,
        description="Bytes in the first 64 of what TCP or UDP carries",
        examples=["@0 ffffffff54"],
    )
    module: StrictStr | None = Field(
        default=None,
        max_length=32,
        description="A module that root has added: packets match of which it says so",
    )

    def match(self) -> Match:
        """The match of the given fields; RuleError if they are not valid."""
        return build({name: getattr(self, name) for name in self.model_fields_set})


def _from_text(value: object) -> object:
    return text.parse(value).as_json() if isinstance(value, str) else value


MatchOrText = Annotated[
    MatchIn,
    BeforeValidator(_from_text, json_schema_input_type=MatchIn | str),
    Field(description="Components, or text: `udp src-port 53 length >=512 dst 198.51.100.7`"),
]


_LENGTHS = r"(/[0-9]{1,3}(,/?[0-9]{1,3})?)?"
_PER = rf"^all$|^(source|destination)?{_LENGTHS}(\+(source|destination){_LENGTHS})?$"


class LimitIn(Strict):
    """A FlowSpec traffic-rate, in packets or bits per second; the excess is dropped."""

    pps: float | None = Field(default=None, description="Packets per second")
    bps: float | None = Field(default=None, description="Bits per second, of whole frames")
    burst: Duration = Field(
        default=0.1, description="Burst, as a duration of traffic at the configured rate"
    )
    per: str = Field(
        default="all",
        max_length=64,
        json_schema_extra={"pattern": _PER},
        description="Which packets share the rate: all, source, destination, or with prefix "
        "lengths: source/24,/56, destination+source/24",
        examples=["destination"],
    )
    final: bool = Field(
        default=False, description="Packets within the limit are not matched against later rules"
    )

    def rate(self) -> Rate:
        """The same limit as the model's Rate; RuleError if it is not valid."""
        return read_rate(self.pps or 0.0, self.bps or 0.0, self.burst, self.per, self.final)


class LimitOut(Strict):
    """A limit; `burst` is in seconds."""

    pps: float | None
    bps: float | None
    burst: float
    per: str
    final: bool = Field(description="Packets within it are not matched against later rules")


def limit_out(rate: Rate) -> LimitOut:
    """A limit for an answer; values of 0 become null."""
    return LimitOut(
        pps=rate.pps or None,
        bps=rate.bps or None,
        burst=rate.burst,
        per=rate.per,
        final=rate.final,
    )
