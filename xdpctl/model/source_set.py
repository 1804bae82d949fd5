# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of sources. Values only; the entries of a set are arrays of keys, by family."""

from collections.abc import Mapping
from typing import Any, Self
from zlib import crc32

import msgspec
import numpy as np

from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.names import check_name, check_reason
from xdpctl.model.rule import OPERATOR

Entries = Mapping[int, Keys]
NOTHING: Entries = {number: family.empty for number, family in FAMILIES.items()}
REFRESH_MIN, REFRESH_MAX = 60, 30 * 86400  # seconds


class FeedSource(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The URL or local file that a set is refreshed from, every `refresh` seconds.

    `etag` and `last_modified` are the server's validators of the current version.
    """

    url: str = ""
    file: str = ""
    refresh: float = 3600.0
    format: str = "auto"
    column: str = ""
    etag: str = ""
    last_modified: str = ""


class Options(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a list is transformed before it becomes the set.

    `widen_ipv4` and `widen_ipv6` are lengths to which longer prefixes are widened, and `at_most` is
    the maximum number of entries of each family; 0 means no change.
    """

    allow_private: bool = False
    aggregate: bool = False
    widen_ipv4: int = 0
    widen_ipv6: int = 0
    at_most: int = 0


DEFAULT = Options()


class SourceSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set without its entries. `report` has the numbers of its last change.

    With `out`, it is about the destinations of what goes out, instead of the sources of what comes
    in.
    """

    name: str
    slot: int
    action: Action = Action.DROP
    mode: Mode = Mode.ENFORCE
    spare: Spare = Spare.NONE
    out: bool = False
    origin: str = OPERATOR
    reason: str = ""
    created_at: float = 0.0
    changed_at: float = 0.0
    feed: FeedSource | None = None
    options: Options = DEFAULT
    report: Mapping[str, int] = {}

    def __post_init__(self) -> None:
        if self.action not in (Action.DROP, Action.ACCEPT):
            raise RuleError(f"a set cannot {self.action}", "action", "give drop or accept")
        if self.spare is Spare.TRIAL:
            raise RuleError("a set cannot be tried", "spare", 'give "known" (--spare known)')
        if self.out and self.action is not Action.DROP:
            raise RuleError(f"an out set cannot {self.action}", "action", "give drop")
        if self.out and self.spare is not Spare.NONE:
            raise RuleError("an out set spares nobody", "spare", 'give "none"')
        check_name(self.name, "name")
        check_reason(self.reason)

    @property
    def etag(self) -> str:
        """Eight hex digits that differ after any change."""
        effect = (self.slot, self.mode, self.spare, self.origin)
        parts = (*effect, self.reason, self.changed_at, self.feed)
        return f"{crc32(repr(parts).encode()):08x}"

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def count(entries: Entries) -> int:
    """The number of entries of both families."""
    return sum(map(len, entries.values()))


_HEADER = np.dtype("<u4")


def encode_entries(entries: Entries) -> bytes:
    """The entries as bytes: both counts, IPv4 addresses and lengths, then the keys of IPv6."""
    v4, v6 = (entries.get(number, FAMILIES[number].empty) for number in (4, 6))
    return b"".join(
        (
            np.array([len(v4), len(v6)], _HEADER).tobytes(),
            (v4 >> np.uint64(6)).astype("<u4").tobytes(),
            FAMILIES[4].lengths(v4).tobytes(),
            v6.tobytes(),
        )
    )


def decode_entries(data: bytes) -> Entries:
    """The entries from the bytes that encode_entries() made; ValueError if they are not valid."""
    count4, count6 = np.frombuffer(data, _HEADER, 2).tolist()
    if len(data) != 8 + 5 * count4 + 17 * count6:
        raise ValueError(f"{len(data)} bytes do not hold {count4} and {count6} entries")
    addresses = np.frombuffer(data, "<u4", count4, 8)
    lengths = np.frombuffer(data, np.uint8, count4, 8 + 4 * count4)
    v6 = np.frombuffer(data, FAMILIES[6].dtype, count6, 8 + 5 * count4)
    longest = FAMILIES[6].lengths(v6)
    if (lengths > 32).any() or (longest > 128).any():
        raise ValueError("a prefix is longer than an address")
    return {4: FAMILIES[4].pack4(addresses, lengths), 6: v6}


def check_refresh(seconds: float) -> float:
    """The refresh interval in seconds, if it is within the limits; RuleError otherwise."""
    if not REFRESH_MIN <= seconds <= REFRESH_MAX:
        raise RuleError(
            f"refresh cannot be {seconds:g} seconds",
            "feed.refresh",
            f"give {REFRESH_MIN} to {REFRESH_MAX} seconds",
        )
    return seconds
