# SPDX-License-Identifier: GPL-2.0-or-later
"""Followers lose nothing over rotations, restarts, and while the control plane is down."""

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.turns import Turns
from xdpctl.cli.detectors.delivery import HookDelivery
from xdpctl.client import Client
from xdpctl.detectors.follow import stdin, suricata
from xdpctl.detectors.follow.tail import FilePosition, end_of, keep
from xdpctl.errors import ConfigError, Refused, Unreachable


def alert(number: int) -> bytes:
    return json.dumps({"event_type": "alert", "n": number}, separators=(",", ":")).encode()


def append(path: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + end for line in lines))


def taking(given: list[bytes], more: bool = True) -> Callable[[bytes], bool]:
    """Keeps each body in `given`, and answers whether it wants `more`."""

    def take(body: bytes) -> bool:
        given.append(body)
        return more

    return take


def numbers(bodies: list[bytes]) -> list[int]:
    return [json.loads(line)["n"] for body in bodies for line in body.splitlines()]


def test_only_new_alerts_are_sent(tmp_path: Path) -> None:
    eve, state, given = tmp_path / "eve.json", tmp_path / "state.json", list[bytes]()
    append(eve, alert(0))

    def give(body: bytes) -> bool:
        given.append(body)
        return True

    def more() -> None:
        append(eve, alert(1), b'{"event_type":"flow"}', b"nonsense", alert(2))

    suricata.follow(eve, state, give, Turns(more))
    assert numbers(given) == [1, 2], "what was there before the first start is not news"
    append(eve, alert(3))  # while nobody followed
    suricata.follow(eve, state, give, Turns())
    assert numbers(given) == [1, 2, 3]


def test_alerts_that_were_not_accepted_are_sent_again_after_a_restart(tmp_path: Path) -> None:
    eve, state = tmp_path / "eve.json", tmp_path / "state.json"
    append(eve, alert(0))
    keep(state, end_of(eve))
    append(eve, *(alert(n) for n in range(1, 451)))
    taken: list[bytes] = []

    def once(body: bytes) -> bool:
        taken.append(body)
        return len(taken) < 2

    suricata.follow(eve, state, once, Turns())
    assert [len(body.splitlines()) for body in taken] == [200, 200]
    again: list[bytes] = []
    suricata.follow(eve, state, taking(again), Turns())
    assert numbers(again) == list(range(201, 451)), (
        "it continues with the alerts that were not accepted"
    )


def test_the_size_of_a_batch_is_bounded(tmp_path: Path) -> None:
    eve, state = tmp_path / "eve.json", tmp_path / "state.json"
    keep(state, end_of(eve))
    append(eve, *(alert(n) + b" " * 400_000 for n in range(7)))
    given: list[bytes] = []
    suricata.follow(eve, state, taking(given), Turns())
    assert numbers(given) == list(range(7))
    assert [len(body.splitlines()) for body in given] == [3, 3, 1]


def test_an_unwritable_state_file_is_fatal_only_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    eve = tmp_path / "eve.json"
    with pytest.raises(ConfigError, match="cannot be written"):
        suricata.follow(eve, tmp_path / "none" / "state.json", lambda body: True, Turns())

    def full() -> None:
        append(eve, alert(1))
        monkeypatch.setattr(suricata, "keep", no_room)

    def no_room(state: Path, place: FilePosition) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    given: list[bytes] = []
    state, turns = tmp_path / "state.json", Turns(full, lambda: append(eve, alert(2)))
    suricata.follow(eve, state, taking(given), turns)
    assert numbers(given) == [1, 2]
    assert "cannot save the position" in caplog.text


def handing(
    monkeypatch: pytest.MonkeyPatch, *answers: Any
) -> tuple[HookDelivery, Turns, list[bytes]]:
    left, sent = list(answers), list[bytes]()

    def call(client: Client, method: str, path: str, **more: Any) -> Any:
        sent.append(more["content"])
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Client, "call", call)
    turns = Turns(*[lambda: None] * 9)
    return HookDelivery(Client(Path("/nowhere")), "suricata", turns), turns, sent


DONE = {"rules": ["a"], "released": [], "refused": [{"what": "x", "why": "y", "fix": ""}]}


def test_the_follower_waits_while_the_control_plane_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Refused({"status": 503, "detail": "stopping"})
    give, turns, sent = handing(monkeypatch, Unreachable("no"), busy, Unreachable("no"), DONE)
    assert give(b"x")
    assert (sent, turns.waited) == ([b"x"] * 4, [0.5, 1.0, 2.0])
    assert give.partly, "a part of the body was refused"


def test_a_body_that_is_refused_for_good_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    give, turns, _ = handing(monkeypatch, Refused({"status": 400, "detail": "no alert"}))
    assert give(b"x")
    assert turns.waited == []
    assert give.partly


def test_stopping_the_follower_ends_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    give, turns, _ = handing(monkeypatch, *[Unreachable("no")] * 20)
    turns.happens = []
    assert not give(b"x")


def test_lines_from_a_pipe_are_passed_on_as_they_come() -> None:
    given: list[bytes] = []
    reader, writer = os.pipe()

    def give(line: bytes) -> bool:
        given.append(line)
        return True

    thread = threading.Thread(target=stdin.follow, args=(reader, give, lambda: False))
    thread.start()
    os.write(writer, b"one\n\ntw")
    os.write(writer, b"o\nlast")
    os.close(writer)
    thread.join(10)
    os.close(reader)
    assert given == [b"one", b"two", b"last"]


def test_a_follower_of_lines_ends_when_told() -> None:
    reader, writer = os.pipe()
    stdin.follow(reader, lambda line: True, lambda: True)
    os.write(writer, b"one\ntwo\n")
    given: list[bytes] = []
    stdin.follow(reader, taking(given, more=False), lambda: False)
    assert given == [b"one"], "it ends at once when its receiver ends"
    for descriptor in (reader, writer):
        os.close(descriptor)
