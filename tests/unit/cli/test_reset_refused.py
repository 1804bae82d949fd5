# SPDX-License-Identifier: GPL-2.0-or-later
"""`block --reset` that is refused, before the rule is added."""

from typing import Any

import pytest

from tests.unit.cli.test_cli import Run, api, run
from tests.unit.cli.test_reset import here, logged
from xdpctl.base.system import tcp_sockets

__all__ = ["api", "here", "logged", "run"]  # the fixtures


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["203.0.113.7", "--monitor"], "cannot be opened again"),
        (["203.0.113.7", "--observe", "5s", "--max-collateral", "0%"], "cannot be opened again"),
        (["203.0.113.7", "--confirm-within", "60s"], "cannot be opened again"),
        (["203.0.113.7", "--spare", "established"], "takes a source alone"),
        (["203.0.113.7", "--priority", "0"], "takes a source alone"),
        (["--match", "tcp dst-port 443 src 203.0.113.7"], "takes a source alone"),
    ],
)
def test_conflicting_options_are_refused_before_the_rule_is_added(
    here: Any, run: Run, arguments: list[str], said: str
) -> None:
    kernel, filters = here("203.0.113.7")
    code, _, err = run("block", *arguments, "--reset")
    assert (code, filters.calls, kernel.dumped) == (2, [], 0)
    assert said in " ".join(err.replace("│", " ").split())


def test_a_match_on_a_source_alone_counts_as_a_source(here: Any, run: Run) -> None:
    here("203.0.113.7")
    code, out, _ = run("block", "--match", "src 203.0.113.0/24", "--reset")
    assert (code, "closed 1 connection" in out) == (0, True)


@pytest.mark.parametrize("by_variable", [True, False])
def test_another_hosts_control_plane_is_refused(
    here: Any, run: Run, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    _, filters = here("203.0.113.7")
    url = "https://box.example:8443"
    if by_variable:
        monkeypatch.setenv("XDPCTL_URL", url)
    before = [] if by_variable else ["--url", url]
    code, _, err = run(*before, "block", "203.0.113.7", "--reset")
    assert (code, filters.calls) == (2, [])
    assert "run the command there, without --url" in " ".join(err.replace("│", " ").split())


def test_without_the_capability_nothing_is_changed(
    here: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, filters = here("203.0.113.7")
    monkeypatch.setattr(tcp_sockets, "may_destroy", lambda: False)
    code, out, err = run("block", "203.0.113.7", "--reset")
    assert (code, out, filters.calls, kernel.dumped) == (2, "", [], 0)
    assert "--reset needs root (CAP_NET_ADMIN)" in err
    assert "Nothing was done. Use sudo, or leave --reset out." in err
