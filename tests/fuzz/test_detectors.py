# SPDX-License-Identifier: GPL-2.0-or-later
"""Bodies of the hooks, in every built-in and configured format."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import bodies, dumps, texts
from tests.fuzz.support.loop import fuzz
from tests.fuzz.support.seeds import DETECTORS, MAPPED
from xdpctl.detectors.formats import crowdsec, jmespath
from xdpctl.detectors.registry import ADAPTERS
from xdpctl.errors import ConfigError, RuleError
from xdpctl.model.event import Event
from xdpctl.model.incident import TimelineEntry

_EXPRESSION = (
    "attacks[].{phase: 'began', id: uuid, victim: ip, attack: kind, pps: ceil(rate),"
    " note: join(',', keys(@))}"
)


def _usable(events: list[Event]) -> None:
    """Assert that events have finite numbers and short texts, as later code expects."""
    for event in events:
        told = TimelineEntry(
            0.0, 0.0, "x", event.phase, event.id, event.attack, event.pps, event.bps
        )
        assert max(told.pps, told.bps, event.ttl or 0.0) < float("inf")
        assert len(event.note) <= 200
        assert event.port is None or event.port >= 0
        str(event.match or "").encode()


def test_there_are_seeds_of_every_detector() -> None:
    assert DETECTORS.keys() == ADAPTERS.keys()


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_a_seed_is_read(name: str) -> None:
    """Otherwise all inputs derived from it would be refused at once."""
    for seed in DETECTORS[name]:
        assert ADAPTERS[name](dumps(seed))


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_a_body_is_read_or_refused(name: str) -> None:
    fuzz(bodies(DETECTORS[name]), lambda body: _usable(ADAPTERS[name](body)))


@pytest.mark.parametrize("name", sorted(ADAPTERS))
@pytest.mark.parametrize(
    "text", [b'"\xff"', b'"\\ud800"', b"[" * 100_000, b"9" * 5000, b"1e999", b"\xef\xbb\xbf{}"]
)
def test_text_that_is_not_json_is_refused(name: str, text: bytes) -> None:
    for body in (text, b'{"a":%b}' % text, b"{%b:1}" % text, b"[%b]" % text):
        with pytest.raises(RuleError):
            ADAPTERS[name](body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("wanguard", {"argv": ["start", "7", "198.51.100.2", "incoming", "UDP flood", "²"]}),
        ("sflowrt", [{"thresholdID": "udp_amplification", "flowKey": "198.51.100.2,²"}]),
        ("fastnetmon", {"argv": ["198.51.100.2", "incoming", "²", "ban"]}),
        ("gobgp", {"nlri": {"value": [{"type": []}]}}),
    ],
)
def test_odd_digits_and_wrong_types_are_read_or_refused(name: str, body: Any) -> None:
    with suppress(RuleError):
        _usable(ADAPTERS[name](dumps(body)))


@pytest.mark.parametrize("size", [200, 10_000, 1_000_000])
def test_the_length_of_an_id_is_bounded(size: int) -> None:
    """Ids are stored in tags, in incidents and in the audit log."""
    alert = {**DETECTORS["suricata"][0]["alert"], "gid": "x" * size}
    try:
        events = list(ADAPTERS["suricata"](dumps({**DETECTORS["suricata"][0], "alert": alert})))
    except RuleError:
        assert size > 1_000
    else:
        assert size < 1_000
        assert all(len(event.id) < 1_000 for event in events)


@pytest.mark.parametrize(
    "expression",
    [
        _EXPRESSION,
        "attacks[::step].{phase: 'began', id: uuid, victim: ip}",
        "attacks[?rate > `1`].{phase: 'began', id: to_string(uuid), victim: ip, "
        " pps: to_number(kind)}",
        "sort_by(attacks, &rate)[].merge(@, {phase: 'began'})",
        "attacks[].{phase: 'began', id: to_string(@), victim: ip, bps: max([rate])}",
    ],
)
def test_a_configured_mapping_reads_or_refuses_any_body(expression: str) -> None:
    try:
        read = jmespath.adapter(expression, "x")
    except ConfigError:
        return
    fuzz(bodies(MAPPED), lambda body: _usable(read(body)))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of jmespath's own syntax
def test_an_expression_compiles_or_is_refused() -> None:
    pieces_of = st.sampled_from(
        ("a", "[", "]", "[?", "`", "'", '"', "\\", "(", ")", "&", "|", "||", "*", "@", "9" * 5000,
         ".", "{", "}", ":", "[::0]", "-", "`[`", "`1e999`", '"\\ud800"', "'\\", "(" * 5000,
         "!" * 5000, "a." * 5000, "\0", "é", " ")
    )  # fmt: skip
    expressions = st.lists(pieces_of, max_size=8).map("".join) | texts

    def call(expression: str) -> None:
        jmespath.adapter(expression, "x")(b'{"a": [1, 2]}')

    fuzz(expressions, call)


def test_a_duration_of_crowdsec_is_seconds_or_refused() -> None:
    parts = st.sampled_from(("1", "h", "m", "s", "ms", "µs", "ns", ".", "-", "٣", "9" * 400, "²"))
    fuzz(st.lists(parts, max_size=9).map("".join) | texts, crowdsec.seconds)
