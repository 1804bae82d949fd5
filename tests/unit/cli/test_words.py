# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the control plane in the words of the command line; tables on narrow terminals."""

from collections.abc import Sequence

import pytest

from xdpctl.cli import output
from xdpctl.cli.words import spoken, with_option

WIDTHS = [5, 30, 8, 8]


@pytest.mark.parametrize(
    ("said", "spoken_as"),
    [
        ("give force (--force)", "give --force"),
        (
            "try it with confirm_within (--confirm-within 60s), or give force (--force)",
            "try it with --confirm-within 60s, or give --force",
        ),
        ("use mode monitor (--monitor) to count", "use --monitor to count"),
        ("change it: PATCH /v1/rules/203.0.113.0_24", "change it: xdpctl edit 203.0.113.0/24"),
        ("DELETE /v1/rules/m-1 removes it", "xdpctl unblock m-1 removes it"),
        ("there is no token a; see GET /v1/tokens", "there is no token a; see xdpctl token list"),
        ("so confirm_within was not applied", "so --confirm-within was not applied"),
        ("source_port 70000 is too large", "src-port 70000 is too large"),
        ("raise origins.x.shortest_ipv4", "raise origins.x.shortest_ipv4"),
    ],
)
def test_messages_name_options_and_commands_instead_of_fields_and_calls(
    said: str, spoken_as: str
) -> None:
    assert spoken(said) == spoken_as


@pytest.mark.parametrize(
    ("text", "field", "arguments", "said"),
    [
        ("'x' is not a duration", "ttl", ["--ttl", "x"], "--ttl: 'x' is not a duration"),
        ("'x' is not a duration", "ttl", ["--for=x"], "--for: 'x' is not a duration"),
        ("ttl cannot be 0 seconds", "ttl", ["--ttl", "0"], "--ttl cannot be 0 seconds"),
        ("'x' is not a duration", "ttl", ["import"], "'x' is not a duration"),
        ("give --ttl", "ttl", ["--ttl"], "give --ttl"),
        ("wrong", "match.source", ["x"], "wrong"),
    ],
)
def test_an_error_names_the_option_that_was_given(
    text: str, field: str, arguments: Sequence[str], said: str
) -> None:
    assert with_option(text, field, arguments) == said


@pytest.mark.parametrize(
    ("most", "widths"),
    [
        (57, [5, 30, 8, 8]),
        (56, [5, 30, 0, 8]),
        (47, [5, 30, 0, 8]),
        (40, [5, 23, 0, 8]),
        (10, [5, 8, 0, 8]),
    ],
)
def test_a_narrow_table_first_omits_columns_then_shortens_cells(
    most: int, widths: list[int]
) -> None:
    columns = ["id", "match", ">bytes", "reason"]
    assert output._fitted(columns, WIDTHS, [">bytes"], most) == widths
