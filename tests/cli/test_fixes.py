# SPDX-License-Identifier: GPL-2.0-or-later
"""The fix in a message solves the problem that it is about."""

import re

import pytest

from tests.cli.fixes import OTHERS, RULES, WORDS, Fix
from tests.cli.terminal import PIPE, Person
from xdpctl.lab.box import Box

_GUEST = "192.0.2.2 50000 192.0.2.1 22"  # who has logged in by ssh


@pytest.mark.parametrize("fix", RULES + WORDS + OTHERS, ids=lambda fix: f"{fix.command} {fix.says}")
def test_following_the_fix_in_a_message_solves_the_problem(fix: Fix, person: Person) -> None:
    (person.directory / "small.txt").write_text("203.0.113.0/25\n")
    (person.directory / "private.txt").write_text("10.1.0.0/16\n")
    if "192.0.2.0/24" in fix.command:
        person.environment["SSH_CONNECTION"] = _GUEST
    for command in fix.before:
        assert person.run(command, PIPE).code == 0
    said = person.run(fix.command, PIPE)
    assert said.code, said.text
    found = re.search(fix.says, said.text)
    assert found, said.text
    done = person.run(_followed(fix, found[1]), PIPE)
    assert done.code == fix.code, done.text
    if fix.again:
        assert person.run(fix.command, PIPE).code == 0


def _followed(fix: Fix, named: str) -> str:
    if fix.instead:
        return fix.instead.format(named)
    return named if named.startswith("xdpctl") else f"{fix.command} {named}"


def test_the_undo_command_that_is_printed_undoes_the_change(box: Box, person: Person) -> None:
    for command in (
        "xdpctl block 203.0.113.7",
        "xdpctl limit 203.0.113.7 --pps 100",
        "xdpctl release 203.0.113.7 --for 1h",
    ):
        said = person.run(command, PIPE)
        assert person.run(_command("undo it with", said.text), PIPE).code == 0
        assert not _rules(box)
    person.run("xdpctl block 203.0.113.7", PIPE)
    for command in ("xdpctl unblock 203.0.113.7", "xdpctl unblock --all --yes"):
        said = person.run(command, PIPE)
        assert not _rules(box)
        assert person.run(_command("undo it with", said.text), PIPE).code == 0
        assert len(_rules(box)) == 1


def test_the_confirm_command_that_is_printed_confirms_the_rule(box: Box, person: Person) -> None:
    for command in ("xdpctl block 203.0.113.7", "xdpctl block --match 'udp dst-port 53'"):
        said = person.run(f"{command} --confirm-within 1h", PIPE)
        assert person.run(_command("confirm it with", said.text), PIPE).code == 0
    assert [rule["confirm_in"] for rule in _rules(box)] == [None, None]


def test_the_close_and_report_commands_that_are_printed_work(person: Person) -> None:
    opened = person.run("xdpctl incident open 198.51.100.7", PIPE)
    closed = person.run(_command("close it with", opened.text), PIPE)
    assert closed.code == 0
    report = person.run(_command("report it with", closed.text), PIPE)
    assert report.code == 0
    assert "198.51.100.7" in report.text


def _command(words: str, text: str) -> str:
    found = re.search(f"(?m)^  {words}: (xdpctl .*)$", text)
    assert found, text
    return found[1]


def _rules(box: Box) -> list[dict[str, object]]:
    rules: list[dict[str, object]] = box.client.call("GET", "/v1/rules")["rules"]
    return rules
