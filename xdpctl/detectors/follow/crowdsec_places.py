# SPDX-License-Identifier: GPL-2.0-or-later
"""CrowdSec's decisions about countries and autonomous systems: which of them stand. Pure."""

from typing import Any

from xdpctl.detectors import parsing
from xdpctl.detectors.formats.crowdsec import PLACES
from xdpctl.errors import RuleError


class Places:
    """`take` each body of the stream; `countries` and `asns` as the decisions write them."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], set[object]] = {}

    @property
    def countries(self) -> frozenset[str]:
        """The country codes that are banned."""
        return frozenset(value for kind, value in self._held if kind == "country")

    @property
    def asns(self) -> frozenset[str]:
        """The AS numbers that are banned, as `AS64500`."""
        return frozenset(value for kind, value in self._held if kind == "asn")

    def take(self, body: bytes, whole: bool) -> bool:
        """Whether it changed what stands; `whole`: it is all decisions, not what changed.

        RuleError if it is no answer of the stream; then nothing is changed.
        """
        stream = parsing.table(parsing.document(body), "the body")
        gone = [_place(one) for one in parsing.listed(stream.get("deleted"), "deleted")]
        new = [_place(one) for one in parsing.listed(stream.get("new"), "new")]
        before = self._held.keys() | set()
        if whole:
            self._held.clear()
        for found, number in filter(None, gone):
            held = self._held.get(found, set())
            held.discard(number)
            if not held:
                self._held.pop(found, None)
        for found, number in filter(None, new):
            self._held.setdefault(found, set()).add(number)
        return self._held.keys() != before


def _place(decision: Any) -> tuple[tuple[str, str], object] | None:
    """What a ban is of, and the decision's number; None if it is of no place."""
    if not isinstance(decision, dict):
        raise RuleError("a decision is no object", "new", "send what the stream answers")
    kind = PLACES.get(str(decision.get("scope", "")).lower())
    if kind is None or decision.get("type") != "ban":
        return None
    value, number = str(decision.get("value", ""))[:64].strip().upper(), decision.get("id")
    if not isinstance(number, int | str | None):
        raise RuleError("a decision's id is no number", "id", "send what the stream answers")
    return (kind, value), number
