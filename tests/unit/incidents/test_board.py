# SPDX-License-Identifier: GPL-2.0-or-later
"""The report for a board."""

from tests.unit.incidents.test_report import shown
from xdpctl.incidents import board


def test_the_report_answers_five_questions_on_two_pages() -> None:
    text = board.markdown(shown())
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings[:5] == [
        "What happened?",
        "When, and for how long?",
        "What was done?",
        "Whom did it cost?",
        "What is open?",
    ]
    assert text.startswith("# Attack on mail server \\(198.51.100.2\\)\n")
    assert "\n| 22:14:20.000 | it was over: " in text
    assert len(text.splitlines()) < 90, "two pages"


def test_many_rules_and_notes_are_counted_and_not_listed() -> None:
    one = shown()
    rules = [one["rules"][0] for _ in range(50)]
    notes = [{"at": one["opened_at"], "who": "anna", "text": f"note {n}"} for n in range(20)]
    text = board.markdown(shown(rules=rules, rules_made=1_000, notes=notes))
    assert "and 990 more rules" in text
    assert "- and 12 more" in text
    assert len(text.splitlines()) < 90


def test_an_attackers_text_stays_text() -> None:
    text = board.markdown(shown())
    assert "<b>" not in text
    assert "](y)" not in text
