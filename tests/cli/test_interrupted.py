# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C at a terminal: exit code 130, and one sentence about what was done."""

import re
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import attack
from tests.cli.terminal import QUESTION, Person, Said, Session
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

_NOT_CHANGED = "xdpctl: interrupted before the answer came; nothing was changed\n"
_MAYBE = (
    "xdpctl: interrupted before the answer came. The change may have been made, or may still be: "
    "check with `xdpctl audit`\n"
)


@pytest.mark.parametrize(
    ("command", "said"),
    [("xdpctl list", _NOT_CHANGED), ("xdpctl block 203.0.113.7", _MAYBE)],
)
def test_ctrl_c_while_the_control_plane_does_not_answer_ends_with_130(
    command: str, said: str, street: tuple[Host, Host], tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    person = Person(street[0], path, tmp_path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with Session(person, person.command(command)) as session:
            asked, _ = silent.accept()
            with asked:
                assert asked.recv(65536)
                session.interrupt()
                assert session.end() == Said(said, 130)


def test_an_interrupted_capture_is_complete_up_to_that_moment(
    box: Box, person: Person, street: tuple[Host, Host]
) -> None:
    person.run("xdpctl block 203.0.113.7")
    command = "xdpctl capture --every 1 --seconds 60"
    with Session(person, person.command(command)) as session:
        while not session.shows("dropped", 0.2):
            attack(street[1], box.client)
        session.interrupt()
        said = session.end()
    *packets, note, total = said.text.splitlines()
    assert note == "interrupted; what was captured until now is complete"
    assert packets
    assert re.fullmatch("[0-9]+ packets?, one in 1", total)
    assert said.code == 130


def test_a_rule_whose_observation_is_interrupted_stays_in_monitor_mode(
    box: Box, person: Person
) -> None:
    with Session(person, person.command("xdpctl block 203.0.113.7 --observe 30s")) as session:
        session.see("observing for 30 s")
        session.interrupt()
        said = session.end()
    assert said.code == 130
    _stays(box, person, said)


def test_ctrl_c_at_the_question_after_observing_leaves_the_rule_in_monitor_mode(
    box: Box, person: Person
) -> None:
    with Session(person, person.command("xdpctl block 203.0.113.7 --observe 0.1s")) as session:
        session.see(QUESTION)
        session.interrupt()
        said = session.end()
    assert said.code == 130
    _stays(box, person, said)


def _stays(box: Box, person: Person, said: Said) -> None:
    """Assert that the message says that the rule stands, and that the commands in it work."""
    found = re.search(
        r"stays in monitor mode; enforce it with (xdpctl .*), or remove it with (xdpctl .*)\n",
        said.text,
    )
    assert found, said.text
    assert person.run(found[1]) == Said("drop 203.0.113.7/32: enforce\n", 0)
    assert person.run(found[2]).code == 0
    assert not box.client.call("GET", "/v1/rules")["rules"]


@pytest.mark.parametrize("command", ["xdpctl unblock --all", "xdpctl block 28.0.0.0/7"])
def test_ctrl_c_at_a_question_changes_nothing(command: str, box: Box, person: Person) -> None:
    person.run("xdpctl block 203.0.113.7")
    with Session(person, person.command(command)) as session:
        session.see(QUESTION)
        session.interrupt()
        said = session.end()
    assert said.code == 130
    assert said.text.endswith("[y/N]: \nxdpctl: interrupted: nothing was changed\n")
    assert len(box.client.call("GET", "/v1/rules")["rules"]) == 1


def test_ctrl_c_ends_following_lines_with_exit_code_0(box: Box, person: Person) -> None:
    with Session(person, person.command("xdpctl hook event --each-line")) as session:
        session.write('{"phase": "began", "id": "1", "sources": ["203.0.113.7"]}')
        assert eventually(lambda: len(box.client.call("GET", "/v1/rules")["rules"]) == 1)
        session.interrupt()
        said = session.end()
    assert "Traceback" not in said.text
    assert said.code == 0, "Ctrl-C is the normal way to stop it"


def test_an_interrupted_import_says_that_a_part_may_have_been_imported(
    box: Box, person: Person
) -> None:
    xdpctl = " ".join(person.command("xdpctl"))
    slow = f"(yes 203.0.113.7 | head -c 99999; sleep 60) | {xdpctl} import -"
    command = person.command(f"bash -c '{slow}'")
    with Session(person, command) as session:
        session.see("/[?] kB")  # the first piece was sent
        session.interrupt()
        said = session.end()
    assert "Traceback" not in said.text
    assert "A part may have been imported: see `xdpctl history`" in said.text
    assert said.code == 130
