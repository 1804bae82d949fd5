# SPDX-License-Identifier: GPL-2.0-or-later
"""`[upstream]` of the configuration."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from xdpctl.base.typed import Problems

_Bits = Annotated[int, Meta(ge=64_000, le=10_000_000_000_000)]
_Name = Annotated[str, Meta(min_length=1, max_length=15)]  # IFNAMSIZ


class UplinkTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`{interface = "eth0", bits_in = 1_000_000_000}`."""

    interface: _Name
    bits_in: _Bits


class UpstreamTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstream]`."""

    uplinks: list[UplinkTable] = []
    full: Annotated[float, Meta(ge=0.5, le=1)] = 0.9
    seconds: Annotated[int, Meta(ge=1, le=60)] = 3

    def settings(self, problems: Problems) -> "UpstreamSettings":
        """The settings; what is not valid is added to `problems`."""
        names = [uplink.interface for uplink in self.uplinks]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            problems.add(f"upstream.uplinks names {twice} twice")
        uplinks = tuple(Uplink(each.interface, each.bits_in) for each in self.uplinks)
        return UpstreamSettings(uplinks, self.full, self.seconds)


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface to a provider, and the bits a second that the provider sends through it."""

    interface: str
    bits_in: int


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """The uplinks. One is full at that share of its rate, for so many seconds in a row."""

    uplinks: tuple[Uplink, ...] = ()
    full: float = 0.9
    seconds: int = 3
