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
    "check with `xdpctl audit log`\n"
)


@pytest.mark.parametrize(
    ("command", "said"),
    [("xdpctl list", _NOT_CHANGED), ("xdpctl block 203.0.113.7", _MAYBE)],
)
def test_while_the_control_plane_does_not_answer(
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


def test_a_capture_is_complete_until_then(
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


def test_what_is_observed_stays_in_monitor_mode(box: Box, person: Person) -> None:
    with Session(person, person.command("xdpctl block 203.0.113.7 --observe 30s")) as session:
        session.see("observing for 30 s")
        session.interrupt()
        said = session.end()
    assert said.code == 130
    _stays(box, person, said)


def test_at_the_question_after_observing(box: Box, person: Person) -> None:
    with Session(person, person.command("xdpctl block 203.0.113.7 --observe 0.1s")) as session:
        session.see(QUESTION)
        session.interrupt()
        said = session.end()
    assert said.code == 130
    _stays(box, person, said)


def _stays(box: Box, person: Person, said: Said) -> None:
    """It says that the rule is there, and the commands that it names work."""
    found = re.search(
        r"stays in monitor mode; enforce it with (xdpctl .*), or remove it with (xdpctl .*)\n",
        said.text,
    )
    assert found, said.text
    assert person.run(found[1]) == Said("in force: drop 203.0.113.7/32\n", 0)
    assert person.run(found[2]).code == 0
    assert not box.client.call("GET", "/v1/rules")["rules"]


@pytest.mark.parametrize("command", ["xdpctl unblock --all", "xdpctl block 28.0.0.0/7"])
def test_at_a_question(command: str, box: Box, person: Person) -> None:
    person.run("xdpctl block 203.0.113.7")
    with Session(person, person.command(command)) as session:
        session.see(QUESTION)
        session.interrupt()
        said = session.end()
    assert said.code == 130
    assert said.text.endswith("[y/N]: \nxdpctl: interrupted: nothing was changed\n")
    assert len(box.client.call("GET", "/v1/rules")["rules"]) == 1


def test_lines_that_are_followed(box: Box, person: Person) -> None:
    with Session(person, person.command("xdpctl follow lines event")) as session:
        session.write('{"phase": "began", "id": "1", "sources": ["203.0.113.7"]}')
        assert eventually(lambda: len(box.client.call("GET", "/v1/rules")["rules"]) == 1)
        session.interrupt()
        said = session.end()
    assert "Traceback" not in said.text
    assert said.code == 0, "it is meant to be stopped so"


def test_an_import_from_a_slow_pipe(box: Box, person: Person) -> None:
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
