# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for detectors: the events they send, their output, and their exit codes."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run
from xdpctl.client import Client
from xdpctl.errors import Refused, Unreachable

__all__ = ["api", "run"]
DONE = {
    "mode": "on",
    "events": 1,
    "rules": ["m-1"],
    "first": [
        {
            **{"id": "m-1", "text": "dst 192.0.2.7/32 proto udp", "action": "limit"},
            **{"mode": "monitor", "spare": "established", "expires_in": 900.0},
            "limit": {"pps": 500.0, "bps": None, "per": "all"},
        }
    ],
    "released": ["m-0"],
    "held": ["m-9"],
    "watched": [{"event": "8", "why": "would break 21"}],
    "refused": [{"what": "198.51.100.9/32", "why": "it is ours", "fix": "look"}],
    "ignored": [{"event": "7", "why": "outgoing"}],
    "dry_run": False,
}
HELD = {"mode": None, "configured": "on", "detectors": {"event": "on", "suricata": "observe"}}


def stdin(monkeypatch: pytest.MonkeyPatch, said: str | bytes) -> None:
    class Piped(io.StringIO):
        buffer = io.BytesIO(said if isinstance(said, bytes) else said.encode())

    monkeypatch.setattr("sys.stdin", Piped())


def test_arguments_and_input_of_a_script_are_passed_on_unchanged(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST", "/v1/hooks/fastnetmon"] = DONE
    stdin(monkeypatch, "IP: x\n")
    argv = ["198.51.100.2", "incoming", "1000", "ban"]
    code, out, err = run("hook", "fastnetmon", "--", *argv)
    assert (code, api.calls[0][2]["json"]) == (0, {"argv": argv, "stdin": "IP: x\n"})
    assert "(m-1)" in out
    assert "removed: m-0" in out
    assert "198.51.100.9/32: it is ours. look" in err
    assert "7: outgoing" in err
    assert "once it has no more hits: m-9" in out
    assert "8: would break 21" in err


def test_a_negative_number_is_not_taken_for_an_option(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST", "/v1/hooks/fail2ban"] = DONE
    stdin(monkeypatch, "")
    assert run("hook", "fail2ban", "--", "ban", "sshd", "203.0.113.1", "-1")[0] == 0
    assert api.calls[0][2]["json"]["argv"][-1] == "-1"


def test_a_long_input_is_read_to_its_end_and_cut_at_its_limit(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST", "/v1/hooks/fastnetmon"] = DONE
    stdin(monkeypatch, "x" * (3 << 20))
    assert run("hook", "fastnetmon", "--", "a", "b", "c", "d")[0] == 0
    assert len(api.calls[0][2]["json"]["stdin"]) == 1 << 20


def test_any_bytes_are_passed_on(api: Api, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answers["POST", "/v1/hooks/fastnetmon"] = DONE
    stdin(monkeypatch, b"host \xff\xfe report")
    assert run("hook", "fastnetmon", "--", "a", "b", "c", "ban")[0] == 0
    assert api.calls[0][2]["json"]["stdin"] == "host \ufffd\ufffd report"


def test_the_command_does_not_wait_for_input_that_never_comes(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST", "/v1/hooks/wanguard"] = DONE
    monkeypatch.setattr("sys.stdin", None)
    assert run("hook", "wanguard", "--", "a")[0] == 0


def test_only_a_missing_control_plane_is_retried_not_a_refusal(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    stdin(monkeypatch, "")
    busy = Refused({"status": 503, "detail": "stopping"})
    turns: list[Any] = [Unreachable("no"), busy, DONE]

    def call(client: Client, *_: Any, **__: Any) -> Any:
        answer = turns.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Client, "call", call)
    assert run("hook", "event", "--", "a")[0] == 0
    assert waited == [0.5, 1.0]
    turns = [Refused({"status": 400, "detail": "no event"})]
    assert run("hook", "event", "--", "a")[0] == 1
    turns = [Unreachable("no")] * 5
    assert run("hook", "event", "--", "a")[0] == 3
    assert (waited[2:], turns) == ([0.5, 1.0, 2.0, 4.0], [])


def test_lines_are_followed_with_a_detectors_token(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["GET", "/v1/automatic"] = Refused({"status": 403, "detail": "needs viewer"})
    api.answers["POST", "/v1/hooks/exabgp"] = DONE
    reading, writing = os.pipe()
    os.write(writing, b'{"a": 1}\n')
    os.close(writing)
    with os.fdopen(reading) as piped:
        monkeypatch.setattr("sys.stdin", piped)
        assert run("hook", "exabgp", "--each-line")[0] == 0
    assert api.calls[-1][2]["content"] == b'{"a": 1}'


@pytest.mark.parametrize("given", ["file", "-"])
def test_a_body_is_sent_as_it_is(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    api.answers["POST", "/v1/hooks/suricata"] = DONE
    (tmp_path / "eve.json").write_bytes(b'{"a": 1}\n')
    stdin(monkeypatch, '{"a": 1}\n')
    where = str(tmp_path / "eve.json") if given == "file" else "-"
    assert run("hook", "suricata", "--body", where, "--json")[0] == 0
    assert api.calls[0][2]["content"] == b'{"a": 1}\n'


@pytest.mark.parametrize("arguments", [[], ["--body", "/nowhere"], ["x", "--body", "-"]])
def test_wrong_usage_is_reported(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    stdin(monkeypatch, "")
    code, _, err = run("hook", "event", *arguments)
    assert (code, bool(err), api.calls) == (2, True, [])


def test_a_policy_can_be_tried_without_any_effect(api: Api, run: Run, tmp_path: Path) -> None:
    api.answers["POST", "/v1/hooks/alertmanager"] = {**DONE, "dry_run": True}
    path = tmp_path / "event.json"
    path.write_text("{}")
    code, out, _ = run("hook", "alertmanager", "--body", str(path), "--dry-run")
    assert code == 0
    what = "limit 500 pps dst 192.0.2.7/32 proto udp, monitor, for 15m (m-1)"
    assert f"would be in force: {what}" in out.replace("\n", " ")
    assert api.calls[0][2]["params"] == {"dry_run": "true"}


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (["automatic", "off"], "off"),
        (["automatic", "observe"], "observe"),
        (["automatic", "configured"], None),
    ],
)
def test_an_operator_sets_the_mode_of_detectors(
    api: Api, run: Run, command: list[str], sent: str | None
) -> None:
    api.answers["PUT", "/v1/automatic"] = {**HELD, "mode": sent}
    code, out, _ = run(*command)
    assert (code, api.calls[0][2]["json"]) == (0, {"mode": sent})
    assert ("by an operator" in out) == (sent is not None)


def test_automatic_lists_the_mode_of_each_detector(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/automatic"] = HELD
    _, out, _ = run("automatic")
    assert out == "automatic mitigation: on, as configured\n  suricata: observe\n"
    assert json.loads(run("automatic", "--json")[1]) == HELD
    assert run("automatic", "sometimes")[0] == 2


def test_automatic_rules_are_undone(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/automatic/undo"] = {"removed": ["a", "b"]}
    code, out, _ = run("undo", "--since", "10m", "--origin", "fastnetmon")
    assert (code, out) == (0, "removed 2 rules\n")
    assert api.calls[0][2]["json"] == {"since": "10m", "origin": "fastnetmon"}
    assert run("undo")[0] == 2, "how far back has to be said"


def test_the_configuration_file_is_reloaded(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/automatic/reload"] = HELD
    code, out, _ = run("reload")
    assert (code, "event, suricata" in out) == (0, True)
