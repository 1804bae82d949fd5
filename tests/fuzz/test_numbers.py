# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations, rates and numbers."""

import math
from typing import Any

import typer
from hypothesis import strategies as st

from tests.fuzz.support.inputs import ODD_TEXTS, texts
from tests.fuzz.support.loop import fuzz
from xdpctl.base.durations import parse_duration, show_duration
from xdpctl.base.units import si
from xdpctl.cli.rules.edit import _per, number
from xdpctl.config.file import parse
from xdpctl.lists.formats.tables import cells_of
from xdpctl.lists.geo import parse_asn, parse_country
from xdpctl.model.rate import Rate
from xdpctl.model.requests import check_seconds
from xdpctl.model.source_set import check_refresh

_PARTS = ("1", "0", "90", ".", "s", "m", "h", "d", "w", " ", "-", "e", "٣", "²", "9" * 400,
          "1" * 5000, "k", "M", "G", ",", "/", "inf", "nan", "_", "\n")  # fmt: skip
written = st.lists(st.sampled_from(_PARTS), max_size=8).map("".join) | texts
_USAGE = (typer.BadParameter,)
numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from((10**308, 10**309, 10**5000, -(10**400), 1 << 20_000, True)),
)


def test_a_duration_is_finite_seconds_or_refused() -> None:
    def call(text: str) -> None:
        seconds = parse_duration(text, "ttl")
        assert 0 <= seconds < math.inf
        assert text.isascii(), "digits of other scripts are no numbers of a configuration"

    fuzz(written, call)


def test_long_durations_are_finite_or_refused() -> None:
    lengths = st.tuples(st.sampled_from("19"), st.sampled_from((300, 310, 400, 5_000)))
    texts_ = lengths.map(lambda one: one[0] * one[1])
    fuzz(
        st.tuples(texts_, st.sampled_from(("", "s", "w", ".5", ".5h"))).map("".join),
        lambda text: show_duration(parse_duration(text, "ttl")),
    )


def test_seconds_are_in_bounds_or_refused() -> None:
    fuzz(st.floats(), lambda value: check_seconds(value, "ttl", 3600.0))
    fuzz(st.floats(), check_refresh)


def test_a_number_of_the_command_line_is_finite_or_refused() -> None:
    def call(text: str) -> None:
        value = number(text, "pps")
        assert value is not None
        assert value < math.inf

    fuzz(written | st.sampled_from(ODD_TEXTS), call, _USAGE)


def test_lengths_of_the_command_line_are_read_or_refused() -> None:
    some = st.lists(st.sampled_from(("/", "24", ",", "9" * 5000, "²", "٣", "source")), max_size=4)
    fuzz(some.map("".join), _per, _USAGE)


def test_a_rate_is_finite_or_refused() -> None:
    def call(given: tuple[Any, ...]) -> None:
        rate = Rate(*given)
        assert math.isfinite(rate.pps + rate.bps + rate.burst)
        assert len(str(rate)) < 100

    lengths, floats = st.integers(-1, 200), st.floats()
    fuzz(st.tuples(floats, st.just(0.0), st.just(0.1), lengths, lengths), call)
    fuzz(st.tuples(st.just(0.0), floats, floats, lengths, lengths), call)


def test_a_rate_of_the_configuration_is_finite_or_refused() -> None:
    values = numbers | written | st.none() | st.lists(numbers, max_size=1)
    tables = st.fixed_dictionaries(
        {}, optional={name: values for name in ("pps", "bps", "burst", "per")}
    )

    def call(table: dict[str, Any]) -> None:
        (limit,) = parse({"limits": [{"match": "udp", **table}]}).default_limits
        assert math.isfinite(limit.rate.pps + limit.rate.bps + limit.rate.burst)

    fuzz(tables, call)
    base = st.sampled_from(({"pps": 5}, {"bps": 5000}))
    fuzz(st.tuples(base, tables).map(lambda both: {**both[1], **both[0]}), call)


def test_a_formatted_figure_is_short_whatever_the_number() -> None:
    def call(value: float) -> None:
        assert len(si(value)) < 400

    fuzz(st.floats(), call)


def test_a_country_and_an_as_are_read_or_refused() -> None:
    fuzz(written | st.text(max_size=4), parse_country)
    fuzz(written | st.sampled_from(("AS٣", "as²", "AS" + "9" * 11, "AS0")), parse_asn)


def test_cells_of_a_row_are_read_or_refused() -> None:
    parts = st.sampled_from(
        ('"', ",", ";", "|", "\t", "a", "\r", "\0", '""', "\x85", "x" * 140_000)
    )
    fuzz(st.lists(parts, max_size=8).map("".join), cells_of)
