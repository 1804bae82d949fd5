# SPDX-License-Identifier: GPL-2.0-or-later
"""The man pages are complete, and mandoc reports no problem."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tools import man, roff
from xdpctl.cli import app as root


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return man.pages()


def test_each_group_and_the_configuration_have_a_page(pages: dict[str, str]) -> None:
    groups = ("expect", "fleet", "follow", "incident", "notify", "set", "token", "upstream")
    wanted = {f"xdpctl-{group}.8" for group in groups} | {"xdpctl.8", "xdpctl.toml.5"}
    assert set(pages) >= wanted


def test_the_program_has_its_options_commands_and_exit_codes(pages: dict[str, str]) -> None:
    page = pages["xdpctl.8"]
    assert re.search(r"^\.Ss xdpctl block \[OPTIONS\]", page, re.MULTILINE)
    assert ".It Sy \\-\\-socket <path>" in page
    assert ".It Sy XDPCTL_TOKEN" in page
    stated = re.findall(r"(?:^|; |: )(\d+) \w", " ".join((root.__doc__ or "").split()))
    assert len(stated) >= 8
    told = page.partition(".Sh EXIT STATUS")[2]
    assert re.findall(r"^\.It Sy (\d+)$", told, re.MULTILINE) == stated


def test_each_setting_has_a_meaning_and_a_default() -> None:
    rows = dict(man.settings())
    assert "capacity_ipv4" in rows
    assert "listen.host, listen.port" in rows
    assert all(told[-1].startswith("Default: ") for told in rows.values())


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (".a", "\\&.a"),
        ("a\\b -c", "a\\eb \\-c"),
        ("say `x -y`, see [z](z.md).", "say \\fBx \\-y\\fP, see z."),
        ("`'a'`", "\\fB\\(aqa\\(aq\\fP"),
    ],
)
def test_text_is_shown_unchanged(given: str, made: str) -> None:
    assert roff.marked(given) == made


def test_the_date_is_that_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert ".Dd January 2, 1970" in man.pages()["xdpctl.8"]


@pytest.mark.skipif(not shutil.which("mandoc"), reason="needs mandoc")
def test_mandoc_reports_no_warning(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tools.man", str(tmp_path)], check=True, cwd=ROOT)
    made = sorted(map(str, tmp_path.iterdir()))
    said = subprocess.run(
        ["mandoc", "-Tlint", "-W", "warning", *made], capture_output=True, text=True
    )
    assert said.stdout + said.stderr == ""
    assert said.returncode == 0
