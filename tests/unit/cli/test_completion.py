# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion: what the shell proposes, and that it never says more than names."""

import pytest

from tests.unit.cli.test_cli import RULE, Api, Run, api, run
from xdpctl.errors import Refused, Unreachable

__all__ = ["api", "run"]
SIGNED = {**RULE, "id": "m-2cf47e6bcc8a", "match": {"protocol": "tcp"}}


@pytest.fixture(autouse=True)
def answers(api: Api) -> None:
    api.answers["GET", "/v1/rules"] = {"rules": [RULE, SIGNED], "next": None}
    api.answers["GET", "/v1/sets"] = {"sets": [{"name": "drop"}, {"name": "abroad"}]}
    api.answers["GET", "/v1/incidents"] = {"incidents": [{"id": "20261126-081900"}]}
    api.answers["GET", "/v1/automatic"] = {"detectors": {"fastnetmon": "on", "fail2ban": "on"}}


def _proposed(run: Run, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    monkeypatch.setenv("_XDPCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    _, out, err = run()
    assert err == ""
    return out.split()


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("xdpctl why ", ["203.0.113.7", "m-2cf47e6bcc8a", "latest", "20261126-081900"]),
        ("xdpctl why 203", ["203.0.113.7"]),
        ("xdpctl why la", ["latest"]),
        ("xdpctl unblock 203.0.113.7 m-", ["m-2cf47e6bcc8a"]),
        ("xdpctl set list ", ["drop", "abroad"]),
        ("xdpctl set put dr", ["drop"]),
        ("xdpctl incident show 2026", ["20261126-081900"]),
        ("xdpctl hook fa", ["fastnetmon", "fail2ban"]),
        ("xdpctl why 198", []),
    ],
)
def test_names_are_proposed(
    run: Run, monkeypatch: pytest.MonkeyPatch, line: str, proposed: list[str]
) -> None:
    assert _proposed(run, monkeypatch, line) == proposed


@pytest.mark.parametrize("problem", [Unreachable("nothing answers"), Refused({"status": 403})])
def test_without_a_control_plane_nothing_is_proposed(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    api.answers["GET", "/v1/rules"] = api.answers["GET", "/v1/incidents"] = problem
    assert _proposed(run, monkeypatch, "xdpctl why ") == []
    assert api.patience <= 1, "the shell waits for it"
