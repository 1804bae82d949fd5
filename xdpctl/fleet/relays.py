# SPDX-License-Identifier: GPL-2.0-or-later
"""What a relay publishes about itself, and what nodes see of it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from xdpctl.base.text import printable
from xdpctl.fleet import keys
from xdpctl.fleet.engine.values import Held

_BYTES_MAX, _TEXT = 4 << 10, 64
_LAST = 253_402_300_799.0  # Unix time at the end of the year 9999


class RelayReport(msgspec.Struct, frozen=True):
    """How a relay is: its version, the nodes that use it, and when its certificate ends (Unix)."""

    version: str = ""
    nodes: int = 0
    expires: float = 0.0


encode = msgspec.json.Encoder().encode
_reports = msgspec.json.Decoder(RelayReport)


@dataclass(frozen=True, slots=True)
class SeenRelay:
    """A relay, at `endpoint` (HOST:PORT); `report` is None while it does not answer."""

    name: str
    endpoint: str
    joined: bool
    report: RelayReport | None

    @property
    def answers(self) -> bool:
        return self.report is not None


def relays(held: Iterable[Held]) -> list[SeenRelay]:
    """The relays, by name, from all keys below `relays/`."""
    values = {kv.key: kv.value or b"" for kv in held}
    names = sorted(key.removeprefix(keys.RELAYS).removesuffix("/at") for key in values
                   if key.endswith("/at"))  # fmt: skip
    found = []
    for name in names:
        at, joined, report = keys.said_by_relay(name)
        endpoint = printable(values[at].decode(errors="replace"), 4 * _TEXT)
        seen = _report(values.get(report))
        found.append(SeenRelay(printable(name, _TEXT), endpoint, joined in values, seen))
    return found


def _report(value: bytes | None) -> RelayReport | None:
    if value is None:
        return None
    try:
        report = _reports.decode(value[:_BYTES_MAX])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return RelayReport()
    return RelayReport(
        printable(report.version, _TEXT),
        max(0, min(report.nodes, 1_000_000)),
        min(max(report.expires, 0.0), _LAST),
    )
