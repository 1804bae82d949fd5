# SPDX-License-Identifier: GPL-2.0-or-later
"""CrowdSec: decisions of the local API's stream, and alerts of its http notification plugin.

The stream repeats deleted decisions, so an end may be reported several times. Deleted decisions are
read before new ones. Decisions other than bans (such as a captcha) are ignored.
"""

import re
from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain

_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|h|m|s)")
_LONGEST = 60  # maximum characters of a duration
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SCOPES = ("ip", "range")
PLACES = {"country": "country", "as": "asn"}  # scopes, and their names in a geo set


def read(body: bytes) -> list[Event]:
    """An event for each decision, the deleted ones first; RuleError if the body has none."""
    return checked.each(_decisions(body), lambda pair: _event(*pair))


def _decisions(body: bytes) -> list[tuple[Any, Phase]]:
    """The decisions with their phases; those that have ended come first."""
    data = checked.document(body)
    if isinstance(data, list):
        alerts = [checked.table(alert, f"[{n}]") for n, alert in enumerate(data)]
        new = [d for alert in alerts for d in checked.listed(alert.get("decisions"), "decisions")]
        return [(decision, Phase.BEGAN) for decision in new]
    stream = checked.table(data, "the body")
    if not stream.keys() & {"new", "deleted"}:
        fix = "send the answer of the stream"
        raise RuleError("the body has neither new nor deleted decisions", "new", fix)
    kinds = ("deleted", Phase.ENDED), ("new", Phase.BEGAN)
    return [(d, phase) for kind, phase in kinds for d in checked.listed(stream.get(kind), kind)]


def _event(decision: Any, phase: Phase) -> Event:
    data = checked.table(decision, "decision")
    value, scope = checked.text(data, "value"), checked.text(data, "scope").lower()
    kind = checked.text(data, "type")
    note = plain(data.get("scenario", ""))
    identity = f"{scope} {value.removesuffix('/32').removesuffix('/128')}"
    if kind != "ban" or scope not in _SCOPES:
        why = f"a packet filter cannot apply a {plain(kind)[:40]} of scope {plain(scope)[:40]}"
        if kind == "ban" and scope in PLACES:
            why = f"a ban of scope {scope} needs a set; use xdpctl follow crowdsec --places"
        return Event(phase=phase, id=identity, note=note, ignored=why)
    ttl = seconds(checked.text(data, "duration"))
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
    """The seconds of a duration such as `-3h59m59.36s` (Go's time.Duration); else RuleError."""
    bare = duration.removeprefix("-")
    parts = _PART.findall(bare) if len(bare) <= _LONGEST else []
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        fix = "write it as 3h59m59s"
        raise RuleError(f"{plain(duration)[:40]!r} is not a duration", "duration", fix)
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -total if bare != duration else total
