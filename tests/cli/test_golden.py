# SPDX-License-Identifier: GPL-2.0-or-later
"""The output of every command, on terminals of two widths and in a pipe."""

import re
import time

import pytest

from tests.cli import golden
from tests.cli.conftest import attack, last_change, last_incident
from tests.cli.scenes import NARROW, PREPARED, RULES, SCENES
from tests.cli.terminal import PIPE, Person
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host

WIDTHS = [80, 120, PIPE]
_API_WORDS = re.compile(r"/v1/|\b(GET|PUT|POST|PATCH|DELETE)\b|[a-z]_within|match\.|Traceback")
_PRINTED_AS_STORED = ("audit", "help")


@pytest.mark.parametrize(
    ("scene", "width"),
    [(scene, width) for scene in SCENES for width in WIDTHS if width != 120 or scene not in NARROW],
)
def test_the_output_of_each_scene_is_as_recorded(
    scene: str, width: int, box: Box, person: Person, street: tuple[Host, Host]
) -> None:
    if scene in PREPARED:
        _play(RULES, PIPE, box, person)
        attack(street[1], box.client)
    if "incident open" in SCENES[scene]:
        _next_second()
    text = _play(SCENES[scene], width, box, person)
    if scene not in _PRINTED_AS_STORED:
        assert not _API_WORDS.findall(text)
    golden.compare(scene, width, text)


def test_a_table_is_as_wide_as_the_terminal(box: Box, person: Person) -> None:
    _play(RULES, PIPE, box, person)
    for width in (60, *WIDTHS):
        for command in ("list", "history"):
            lines = person.run(f"xdpctl {command}", width).text.splitlines()
            assert max(map(len, lines)) <= (width or 500)
            assert width or not [line for line in lines if "…" in line]


def test_doctor_says_what_to_do_about_each_finding(box: Box, person: Person) -> None:
    """Most findings are about the machine, so only those about the lab are compared."""
    for width in WIDTHS:
        said = person.run(f"xdpctl doctor -i isp0 --pin-dir {box.pins.directory}", width)
        found = re.findall(r"(?m)^(?:(ok|warning|problem) +([^:]+): |         fix: )", said.text)
        levels = [level for level, _ in found if level]
        assert levels.count("problem") == 0 or said.code == 4
        assert len(found) - len(levels) >= len(levels) - levels.count("ok")
        lab = re.findall(
            r"(?ms)^\w+ +(?:isp0|spoofing): .*?(?=^ok|^warning|^problem|\Z)", said.text
        )
        golden.compare("doctor", width, "".join(lab))


def _next_second() -> None:
    """Wait for the next second: of two incidents that open in one, the second has a longer id."""
    time.sleep(1.05 - time.time() % 1)


def _play(scene: str, width: int, box: Box, person: Person) -> str:
    """Run the commands one after the other; return their output and exit codes."""
    seen = []
    for line in scene.strip().splitlines():
        command, _, answers = line.partition(" ## ")
        if "{change}" in command:
            command = command.format(change=last_change(box.client))
        if "{incident}" in command:
            command = command.format(incident=last_incident(box.client))
        said = person.run(command, width, answers.split() if width else ())
        seen.append(f"$ {command}\n{said.text}[{said.code}]\n")
    return "".join(seen)
