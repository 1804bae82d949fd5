# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what is sampled of a set."""

from pydantic import BaseModel, Field


class SampledOut(BaseModel):
    """Something that was sampled."""

    packets: int = Field(description="Number of packets, estimated: samples times `every`")
    share: float = Field(description="Share of the samples, 0 to 1")


class TopEntry(SampledOut):
    """An entry of the set that was hit."""

    prefix: str


class TopSource(SampledOut):
    """A source whose packets the set hit."""

    source: str


class TopOut(BaseModel):
    """Sampled hits of a set; packets are samples times `every`."""

    seconds: float = Field(description="How long it was sampled")
    every: int = Field(description="One packet in so many was sampled")
    samples: int = Field(description="Number of packets that were sampled")
    entries: list[TopEntry] = Field(description="Entries of the set, most hits first")
    sources: list[TopSource] = Field(description="Sources, most hits first")
