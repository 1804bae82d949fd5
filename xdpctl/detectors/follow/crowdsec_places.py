# SPDX-License-Identifier: GPL-2.0-or-later
"""The current CrowdSec decisions about countries and autonomous systems. Pure."""

from typing import Any

from xdpctl.detectors import checked
from xdpctl.detectors.formats.crowdsec import PLACES
from xdpctl.errors import RuleError


class Places:
    """The countries and ASes that are banned, from the bodies of the stream (see `take`)."""

    def __init__(self) -> None:
        self._banned: dict[tuple[str, str], set[object]] = {}

    @property
    def countries(self) -> frozenset[str]:
        """The country codes that are banned."""
        return frozenset(value for kind, value in self._banned if kind == "country")

    @property
    def asns(self) -> frozenset[str]:
        """The AS numbers that are banned, as `AS64500`."""
        return frozenset(value for kind, value in self._banned if kind == "asn")

    def take(self, body: bytes, whole: bool) -> bool:
        """Apply a body of the stream; return whether the banned countries or ASes changed.

        `whole` says that the body has all decisions, and not only changes. RuleError if it is not
        an answer of the stream; nothing is changed then.
        """
        stream = checked.table(checked.document(body), "the body")
        gone = [_place(one) for one in checked.listed(stream.get("deleted"), "deleted")]
        new = [_place(one) for one in checked.listed(stream.get("new"), "new")]
        before = self._banned.keys() | set()
        if whole:
            self._banned.clear()
        for found, number in filter(None, gone):
            numbers = self._banned.get(found, set())
            numbers.discard(number)
            if not numbers:
                self._banned.pop(found, None)
        for found, number in filter(None, new):
            self._banned.setdefault(found, set()).add(number)
        return self._banned.keys() != before


def _place(decision: Any) -> tuple[tuple[str, str], object] | None:
    """The country or AS of a ban, and the decision's number; None for any other decision."""
    if not isinstance(decision, dict):
        raise RuleError("a decision is not an object", "new", "send the answer of the stream")
    kind = PLACES.get(str(decision.get("scope", "")).lower())
    if kind is None or decision.get("type") != "ban":
        return None
    value, number = str(decision.get("value", ""))[:64].strip().upper(), decision.get("id")
    if not isinstance(number, int | str | None):
        raise RuleError("a decision's id is not a number", "id", "send the answer of the stream")
    return (kind, value), number
