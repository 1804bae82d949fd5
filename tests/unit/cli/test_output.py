# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that users put into rules cannot break the output of rules."""

from typing import Any

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.cli import output
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Rule

RULE: dict[str, Any] = {
    "id": "2001:db8:1234:5678::_64",
    "match": {"source": "2001:db8:1234:5678::/64"},
    "action": "drop",
    "mode": "enforce",
    "origin": "operator",
    "reason": "see [/24] and [ticket]",
    "tags": [],
    "created_at": "2026-11-25T08:19:00Z",
    "expires_in": None,
    "limit": None,
    "spare": "none",
    "priority": 0,
    "confirm_in": None,
    "packets": 23,
    "bytes": 1481,
    "slot": 2,
    "collateral": None,
}


def test_brackets_in_a_reason_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.rules_table([RULE])
    output.rule_details(RULE)
    assert capsys.readouterr().out.count("see [/24] and [ticket]") == 2


def test_a_source_is_never_shortened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "width", 60)
    output.rules_table([RULE])
    assert "2001:db8:1234:5678::/64" in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["a\nline", "\x1b[31m", "\ud800"])
def test_control_characters_are_refused(reason: str) -> None:
    with pytest.raises(RuleError, match="control characters"):
        Rule(Match(parse_prefix("203.0.113.7")), Action.DROP, reason=reason)
