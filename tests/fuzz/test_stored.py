# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged content of the store, the audit log and an incident's files."""

import json

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import bodies, damaged
from tests.fuzz.support.loop import fuzz
from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.store import records, rule_records
from xdpctl.model.effect import Action
from xdpctl.model.identity import Role, Token
from xdpctl.model.incident import Incident, RuleRecord, TimelineEntry, decode, encode
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import FeedSource, SourceSet, decode_entries, encode_entries

_NOW, _LATER = Now(10**12, 1.8e9, "boot"), Now(10**10, 1.8e9, "another boot")
_SOURCE = parse_prefix("203.0.113.0/24")
_BAD = (ValueError,)  # as the decoders document; RuleError is an XdpctlError
_RULE = Rule(Match(_SOURCE), Action.DROP, reason="x", tags=("a",), expires_ns=10**12 + 5)
_LIMIT = Rule(
    match=build({"port": 53}), slot=3, action=Action.LIMIT, limit=Rate(pps=5), expires_ns=2 * 10**12
)
_SET = SourceSet(name="a", slot=1, feed=FeedSource(url="https://x"), report={"added": 1})
_TOLD = TimelineEntry(1.0, 2.0, "suricata", "began", "1", "udp_flood", 5.0, 6.0)
_DONE = RuleRecord("m-1", "udp", "limit", "enforce", 1.0, limit=Rate(pps=5))
_INCIDENT = Incident("i", "x", 1.0, 2.0, 3.0, events=(_TOLD,), rules=(_DONE,), sources=("::1",))


@pytest.mark.parametrize("now", [_NOW, _LATER])
def test_a_rule_is_decoded_or_unreadable(now: Now) -> None:
    seed = json.loads(rule_records.encode(_RULE, _NOW))
    fuzz(bodies([seed]), lambda data: rule_records.decode(_SOURCE, data, now), _BAD)


@pytest.mark.parametrize("now", [_NOW, _LATER])
def test_a_rule_on_a_match_is_decoded_or_unreadable(now: Now) -> None:
    seed = json.loads(rule_records.encode(_LIMIT, _NOW))
    fuzz(bodies([seed]), lambda data: rule_records.decode(_LIMIT.match.key, data, now), _BAD)


def test_a_set_is_decoded_or_unreadable() -> None:
    seed = json.loads(records.encode_set(_SET))
    fuzz(bodies([seed]), lambda data: records.decode_set(data), _BAD)


def test_a_stored_key_is_a_source_or_refused() -> None:
    fuzz(st.text() | st.sampled_from(("rules/::_0", "rules/1.2.3.4_²")), rule_records.key_of)


def test_entries_are_decoded_or_unreadable() -> None:
    """Entries that are read can be written again: no length exceeds that of its family."""
    keys = {4: FAMILIES[4].keys([_SOURCE]), 6: FAMILIES[6].keys([parse_prefix("2001:db8::/32")])}
    whole = encode_entries(keys)
    two = np.array([1, 0], "<u4").tobytes() + b"\1\0\0\xcb"

    def call(data: bytes) -> None:
        assert encode_entries(decode_entries(data)) == data

    fuzz(damaged([whole, encode_entries({})]) | st.binary(), call, _BAD)
    fuzz(st.integers(0, 255).map(lambda length: two + bytes([length])), call, _BAD)


def test_an_incident_is_decoded_or_unreadable() -> None:
    fuzz(bodies([json.loads(encode(_INCIDENT))]), decode, _BAD)


def test_an_incident_that_is_written_can_be_read() -> None:
    """The numbers in an incident come from detectors unchanged."""

    def call(pps: float) -> None:
        held = _INCIDENT.replace(peak_pps=pps, events=(_TOLD,))
        decode(encode(held))

    numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=0)
    fuzz(numbers, call)


def test_a_token_is_unpacked_or_unreadable() -> None:
    seed = json.loads(Token("t", "d", Role.ADMIN, "operator", 1.0).pack())
    fuzz(bodies([seed]), Token.unpack, _BAD)
