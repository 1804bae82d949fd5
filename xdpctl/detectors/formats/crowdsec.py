# SPDX-License-Identifier: GPL-2.0-or-later
"""CrowdSec: decisions of the local API's stream, and alerts of its http notification plugin.

Deltas repeat what was deleted, so an end is an end however often it comes, and what was deleted
comes before what is new. Decisions other than bans (a captcha) are for others.
"""

import re
from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import parsing
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain

_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|h|m|s)")
_LONGEST = 60  # characters of a duration
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SCOPES = ("ip", "range")
PLACES = {"country": "country", "as": "asn"}  # scopes, and what a geo set calls them


def read(body: bytes) -> list[Event]:
    """An event for each decision, the deleted ones first; RuleError if the body has none."""
    return parsing.each(_said(body), lambda one: _event(*one))


def _said(body: bytes) -> list[tuple[Any, Phase]]:
    """Decisions, and what became of them; those that are over come first."""
    held = parsing.document(body)
    if isinstance(held, list):
        alerts = [parsing.table(one, f"[{n}]") for n, one in enumerate(held)]
        new = [d for one in alerts for d in parsing.listed(one.get("decisions"), "decisions")]
        return [(one, Phase.BEGAN) for one in new]
    stream = parsing.table(held, "the body")
    if not stream.keys() & {"new", "deleted"}:
        raise RuleError("neither new nor deleted decisions", "new", "send what the stream answers")
    kinds = ("deleted", Phase.ENDED), ("new", Phase.BEGAN)
    return [(d, phase) for kind, phase in kinds for d in parsing.listed(stream.get(kind), kind)]


def _event(decision: Any, phase: Phase) -> Event:
    held = parsing.table(decision, "decision")
    value, scope = parsing.text(held, "value"), parsing.text(held, "scope").lower()
    kind = parsing.text(held, "type")
    note = plain(held.get("scenario", ""))
    identity = f"{scope} {value.removesuffix('/32').removesuffix('/128')}"
    if kind != "ban" or scope not in _SCOPES:
        why = f"a {plain(kind)[:40]} of scope {plain(scope)[:40]} is not for a packet filter"
        if kind == "ban" and scope in PLACES:
            why = f"a ban of scope {scope} becomes a set, by xdpctl follow crowdsec --places"
        return Event(phase=phase, id=identity, note=note, ignored=why)
    ttl = seconds(parsing.text(held, "duration"))
    if phase is Phase.BEGAN and ttl <= 0:
        return Event(phase=phase, id=identity, note=note, ignored="it has ended already")
    return Event(
        phase=phase,
        id=identity,
        sources=(parse_prefix(value, "value"),),
        ttl=ttl if phase is Phase.BEGAN else None,
        note=note,
    )


def seconds(duration: str) -> float:
    """Of `3h59m59.36s`, negative with a minus (Go's time.Duration)."""
    bare = duration.removeprefix("-")
    parts = _PART.findall(bare) if len(bare) <= _LONGEST else []
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        raise RuleError(f"{plain(duration)[:40]!r} is no duration", "duration", "write 3h59m59s")
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -total if bare != duration else total
