# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what is seen of the traffic."""

from datetime import datetime

from pydantic import BaseModel, Field


class RowOut(BaseModel):
    """A value of a dimension, with the estimated rate of its packets."""

    value: str = Field(examples=["53", "198.51.100.7"])
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

    seconds: float = Field(description="How long was watched; less than asked after a start")
    sampled: int = Field(description="Number of sampled packets that the estimates are made from")
    missing: int = Field(description="Packets that could not be sampled, because there were many")
    packets: float = Field(description="Packets a second, of those chosen")
    bits: float = Field(description="Bits a second, of whole frames")
    dimensions: list[DimensionOut] = Field(description="In the order that was asked for")


class SeriesValues(BaseModel):
    """A figure over time; null where nothing was recorded."""

    averages: list[float | None]
    maxima: list[float | None] = Field(description="The largest second within each row")


class SeriesOut(BaseModel):
    """Figures over time, in columns of equal length."""

    since: datetime = Field(description="When the first row begins")
    seconds: int = Field(description="The time that a row covers")
    figures: dict[str, SeriesValues] = Field(description="By name, in the order asked for")
