"""Followers: nothing is lost over rotations, restarts and a control plane that is away."""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xdpctl.cli.client import Client, Refused, Unreachable
from xdpctl.cli.hand_on import HandOn
from xdpctl.errors import ConfigError
from xdpctl.follow import crowdsec, stream, suricata
from xdpctl.follow.tail import Place, end_of, keep


def alert(number: int) -> bytes:
    return json.dumps({"event_type": "alert", "n": number}, separators=(",", ":")).encode()


def append(path: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + end for line in lines))


class Turns:
    """Lets a follower wait so often, with something happening each time."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.happens = list(happens)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.happens:
            return True
        self.happens.pop(0)()
        return False


def numbers(bodies: list[bytes]) -> list[int]:
    return [json.loads(line)["n"] for body in bodies for line in body.splitlines()]


def test_alerts_alone_are_given_and_only_those_that_are_new(tmp_path: Path) -> None:
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


def test_what_was_not_taken_is_said_again_after_a_restart(tmp_path: Path) -> None:
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
    suricata.follow(eve, state, lambda body: not again.append(body), Turns())
    assert numbers(again) == list(range(201, 451)), "from what was not taken on"


def test_a_batch_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    eve, state = tmp_path / "eve.json", tmp_path / "state.json"
    keep(state, end_of(eve))
    append(eve, *(alert(n) + b" " * 400_000 for n in range(7)))
    given: list[bytes] = []
    suricata.follow(eve, state, lambda body: not given.append(body), Turns())
    assert numbers(given) == list(range(7))
    assert [len(body.splitlines()) for body in given] == [3, 3, 1]


def test_a_place_that_cannot_be_kept_is_told_at_the_start_and_ends_nothing_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    eve = tmp_path / "eve.json"
    with pytest.raises(ConfigError, match="cannot be written"):
        suricata.follow(eve, tmp_path / "none" / "state.json", lambda body: True, Turns())

    def full() -> None:
        append(eve, alert(1))
        monkeypatch.setattr(suricata, "keep", no_room)

    def no_room(state: Path, place: Place) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    given: list[bytes] = []
    take = lambda body: not given.append(body)  # noqa: E731
    suricata.follow(eve, tmp_path / "state.json", take, Turns(full, lambda: append(eve, alert(2))))
    assert numbers(given) == [1, 2]
    assert "not remembered" in caplog.text


def handing(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[HandOn, Turns, list[bytes]]:
    left, sent = list(answers), list[bytes]()

    def call(client: Client, method: str, path: str, **more: Any) -> Any:
        sent.append(more["content"])
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Client, "call", call)
    turns = Turns(*[lambda: None] * 9)
    return HandOn(Client(Path("/nowhere")), "suricata", turns), turns, sent


DONE = {"rules": ["a"], "released": [], "refused": [{"what": "x", "why": "y", "fix": ""}]}


def test_a_control_plane_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Refused({"status": 503, "detail": "stopping"})
    give, turns, sent = handing(monkeypatch, Unreachable("no"), busy, Unreachable("no"), DONE)
    assert give(b"x")
    assert (sent, turns.waited) == ([b"x"] * 4, [0.5, 1.0, 2.0])
    assert give.partly, "of it something was refused"


def test_what_is_refused_for_good_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    give, turns, _ = handing(monkeypatch, Refused({"status": 400, "detail": "no alert"}))
    assert give(b"x")
    assert turns.waited == []
    assert give.partly


def test_an_end_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    give, turns, _ = handing(monkeypatch, *[Unreachable("no")] * 20)
    turns.happens = []
    assert not give(b"x")


class Lapi(ThreadingHTTPServer):
    """CrowdSec's stream: answers in turn, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answers: list[tuple[int, Any]] = []
        super().__init__(("127.0.0.1", 0), _Stream)


class _Stream(BaseHTTPRequestHandler):
    server: Lapi

    def do_GET(self) -> None:
        self.server.asked.append((self.path.partition("?")[2], self.headers.get("X-Api-Key")))
        status, body = self.server.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def lapi() -> Iterator[Lapi]:
    server = Lapi()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bouncer_asks_for_all_then_for_changes_and_after_trouble_for_all(lapi: Lapi) -> None:
    new = {"new": [], "deleted": None}
    lapi.answers = [(200, new), (200, new), (500, {}), (200, new), (200, new)]
    given: list[bytes] = []
    url = f"http://127.0.0.1:{lapi.server_address[1]}"
    turns = Turns(*[lambda: None] * 4)
    whole: list[bool] = []

    def give(body: bytes, all_of_it: bool) -> bool:
        given.append(body)
        whole.append(all_of_it)
        return True

    crowdsec.follow(crowdsec.Access(url, "key"), 7.0, give, turns)
    assert whole == [True, False, True, False]
    wanted = ["true", "false", "false", "true", "false"]
    assert lapi.asked == [(f"startup={said}", "key") for said in wanted]
    assert [json.loads(body) for body in given] == [new] * 4
    assert set(turns.waited) == {7.0}


def test_a_key_that_is_not_known_ends_it_and_a_lapi_that_is_away_does_not(lapi: Lapi) -> None:
    lapi.answers = [(403, {"message": "access forbidden"})]
    url = f"http://127.0.0.1:{lapi.server_address[1]}"
    with pytest.raises(ConfigError, match="cscli bouncers add"):
        crowdsec.follow(crowdsec.Access(url, "wrong"), 1.0, lambda *_: True, Turns())
    nobody = crowdsec.Access("http://127.0.0.1:1", "key")
    crowdsec.follow(nobody, 1.0, lambda *_: True, Turns(lambda: None))


def test_lines_that_a_program_is_given_are_handed_on_as_they_come() -> None:
    given: list[bytes] = []
    reader, writer = os.pipe()

    def give(line: bytes) -> bool:
        given.append(line)
        return True

    thread = threading.Thread(target=stream.follow, args=(reader, give, lambda: False))
    thread.start()
    os.write(writer, b"one\n\ntw")
    os.write(writer, b"o\nlast")
    os.close(writer)
    thread.join(10)
    os.close(reader)
    assert given == [b"one", b"two", b"last"]


def test_a_follower_of_lines_ends_when_it_is_told() -> None:
    reader, writer = os.pipe()
    stream.follow(reader, lambda line: True, lambda: True)
    os.write(writer, b"one\ntwo\n")
    given: list[bytes] = []
    stream.follow(reader, lambda line: bool(given.append(line)), lambda: False)
    assert given == [b"one"], "it ends at once when what it gives to does"
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_large_answer_is_handed_on_in_pieces_what_is_over_first() -> None:
    new = [{"value": f"203.0.113.{n % 256}", "id": n} for n in range(4_500)]
    body = json.dumps({"new": new, "deleted": [{"value": "203.0.113.1"}]}).encode()
    pieces = [json.loads(piece) for piece in crowdsec.pieces(body)]
    assert [{kind: len(held) for kind, held in piece.items()} for piece in pieces] == [
        {"deleted": 1},
        *({"new": count} for count in (2_000, 2_000, 500)),
    ]
    assert [one for piece in pieces[1:] for one in piece["new"]] == new
    for whole in (b'{"new": null, "deleted": null}', b"no JSON", b"[]"):
        assert list(crowdsec.pieces(whole)) == [whole]


def test_what_was_not_all_done_is_asked_for_again_soon(lapi: Lapi) -> None:
    lapi.answers += [(200, {"new": None, "deleted": None})] * 9
    turns = Turns(*[lambda: None] * 8)
    done = iter([False, *[True] * 8])
    access = crowdsec.Access(f"http://127.0.0.1:{lapi.server_address[1]}", "key")
    crowdsec.follow(access, 7.0, lambda *_: next(done), turns)
    whole = ["startup=true" in asked for asked, _ in lapi.asked]
    assert whole == [True, *[False] * 6, True, False]


def test_what_is_refused_each_time_is_asked_for_less_and_less_often(lapi: Lapi) -> None:
    lapi.answers += [(200, {"new": None, "deleted": None})] * 90
    access = crowdsec.Access(f"http://127.0.0.1:{lapi.server_address[1]}", "key")
    turns = Turns(*[lambda: None] * 89)
    crowdsec.follow(access, 7.0, lambda _, whole: not whole, turns)
    at = [n for n, (asked, _) in enumerate(lapi.asked) if "startup=true" in asked]
    assert at == [0, 7, 20, 45]


@pytest.mark.parametrize("lapi", ["", "127.0.0.1:8080", "ftp://x", "http://"])
def test_what_is_no_api_is_told_at_once(lapi: str) -> None:
    with pytest.raises(ConfigError, match="is no API"):
        crowdsec.Access(lapi, "key").session()
