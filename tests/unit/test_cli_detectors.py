"""Commands about detectors: what they hand on, what they tell, and how they end."""

import io
import json
from pathlib import Path

import pytest

from tests.unit.test_cli import Api, Run, api, run

__all__ = ["api", "run"]
DONE = {
    "mode": "on",
    "events": 1,
    "rules": ["sig-1"],
    "released": ["sig-0"],
    "held": ["sig-9"],
    "watched": [{"event": "8", "why": "would break 21"}],
    "refused": [{"what": "198.51.100.9/32", "why": "it is ours", "fix": "look"}],
    "ignored": [{"event": "7", "why": "outgoing"}],
    "dry_run": False,
}
HELD = {"mode": None, "configured": "on", "detectors": {"event": "on", "suricata": "shadow"}}


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Piped(io.StringIO):
        buffer = io.BytesIO(text.encode())

    monkeypatch.setattr("sys.stdin", Piped(text))


def test_a_scripts_arguments_and_input_are_handed_on_whole(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["POST", "/v1/hooks/fastnetmon"] = DONE
    stdin(monkeypatch, "IP: x\n")
    argv = ["198.51.100.2", "incoming", "1000", "ban"]
    code, out, err = run("hook", "fastnetmon", "--", *argv)
    assert (code, api.calls[0][2]["json"]) == (0, {"argv": argv, "stdin": "IP: x\n"})
    assert "stand: sig-1" in out
    assert "end: sig-0" in out
    assert "198.51.100.9/32: it is ours. look" in err
    assert "7: outgoing" in err
    assert "once it hits no more: sig-9" in out
    assert "8: would break 21" in err


def test_minus_one_is_no_option(api: Api, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answers["POST", "/v1/hooks/fail2ban"] = DONE
    stdin(monkeypatch, "")
    assert run("hook", "fail2ban", "--", "ban", "sshd", "203.0.113.1", "-1")[0] == 0
    assert api.calls[0][2]["json"]["argv"][-1] == "-1"


def test_a_whole_input_is_drained(api: Api, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answers["POST", "/v1/hooks/fastnetmon"] = DONE
    stdin(monkeypatch, "x" * (3 << 20))
    assert run("hook", "fastnetmon", "--", "a", "b", "c", "d")[0] == 0
    assert len(api.calls[0][2]["json"]["stdin"]) == 1 << 20


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
def test_wrong_use_is_told(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    stdin(monkeypatch, "")
    code, _, err = run("hook", "event", *arguments)
    assert (code, bool(err), api.calls) == (2, True, [])


def test_a_policy_is_tried_without_doing_anything(api: Api, run: Run, tmp_path: Path) -> None:
    api.answers["POST", "/v1/hooks/alertmanager"] = {**DONE, "dry_run": True}
    path = tmp_path / "event.json"
    path.write_text("{}")
    code, out, _ = run("policy", "test", str(path), "--detector", "alertmanager")
    assert (code, "would stand: sig-1" in out) == (0, True)
    assert api.calls[0][2]["params"] == {"dry_run": "true"}


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (["freeze"], "off"),
        (["automatic", "off"], "off"),
        (["automatic", "shadow"], "shadow"),
        (["automatic", "configured"], None),
    ],
)
def test_an_operator_says_what_detectors_may_do(
    api: Api, run: Run, command: list[str], sent: str | None
) -> None:
    api.answers["PUT", "/v1/automatic"] = {**HELD, "mode": sent}
    code, out, _ = run(*command)
    assert (code, api.calls[0][2]["json"]) == (0, {"mode": sent})
    assert ("by an operator" in out) == (sent is not None)


def test_what_holds_is_told_detector_by_detector(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/automatic"] = HELD
    _, out, _ = run("automatic")
    assert out == "automatic mitigation: on, as configured\n  suricata: shadow\n"
    assert json.loads(run("automatic", "--json")[1]) == HELD
    assert run("automatic", "sometimes")[0] == 2


def test_what_came_by_itself_is_undone(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/automatic/undo"] = {"removed": ["a", "b"]}
    code, out, _ = run("undo", "--since", "10m", "--origin", "fastnetmon")
    assert (code, out) == (0, "removed 2 rules\n")
    assert api.calls[0][2]["json"] == {"since": "10m", "origin": "fastnetmon"}
    assert run("undo")[0] == 2, "how far back has to be said"


def test_the_file_is_read_again(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/automatic/reload"] = HELD
    code, out, _ = run("policy", "reload")
    assert (code, "event, suricata" in out) == (0, True)
