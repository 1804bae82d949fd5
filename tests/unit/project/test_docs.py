# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands, settings, routes and errors are documented; openapi.json is up to date."""

import html
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.paths import ROOT
from xdpctl import errors
from xdpctl.abi.constants import Reason, Traffic
from xdpctl.cli.app import app
from xdpctl.config.file import schema
from xdpctl.config.listen import Listen
from xdpctl.config.settings import QuotaSettings, Settings
from xdpctl.flood.settings import FLOORS
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.services import KNOWN
from xdpctl_api.app import openapi
from xdpctl_api.problems import STATUS

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
TABLES = {"listen", "origins", "feeds", "automatic"}  # their settings are named below them


def commands() -> list[str]:
    root: Any = typer.main.get_command(app)
    found = []
    for name in root.list_commands(None):
        inner = getattr(root.get_command(None, name), "commands", {})
        found += [f"{name} {verb}" for verb in inner] or [name]
    return found


def setting_names() -> list[str]:
    """The names of all settings, with the name of their table."""
    plain = [name for name in Settings.__struct_fields__ if name not in TABLES]
    listen = [f"listen.{name}" for name in Listen.__struct_fields__]
    feeds = [f"feeds.{name}" for name in FeedSettings.__struct_fields__]
    automatic = [f"automatic.{name}" for name in AutomaticSettings.__struct_fields__]
    return plain + listen + feeds + automatic + list(QuotaSettings.__struct_fields__)


def error_names() -> list[str]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return [name for name, cls in classes if issubclass(cls, errors.XdpctlError)]


def mentioned(name: str, page: str) -> bool:
    """Whether a page has this text in code style, as a whole word."""
    text = (REFERENCE / page).read_text()
    return re.search(rf"`[^`\n]*(?<![\w.-]){re.escape(name)}(?![\w.-])[^`\n]*`", text) is not None


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_reference(command: str) -> None:
    assert mentioned(command, "commands.md")


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_is_in_the_reference(setting: str) -> None:
    text = (REFERENCE / "configuration.md").read_text()
    assert mentioned(setting, "configuration.md") or f".{setting}`" in text


@pytest.mark.parametrize("path", openapi()["paths"])
def test_every_route_is_in_the_api_page(path: str) -> None:
    page = (REFERENCE / "api.md").read_text()
    for method in openapi()["paths"][path]:
        assert re.search(rf"{method.upper()} {re.escape(path)}(?![\w/])", page), method


@pytest.mark.parametrize("name", error_names())
def test_every_error_is_in_the_api_page(name: str) -> None:
    assert mentioned(name, "api.md")


@pytest.mark.parametrize(("status", "kind"), sorted(set(STATUS.values())))
def test_every_problem_type_is_listed_with_its_status(status: int, kind: str) -> None:
    assert f"| {status} | `{kind}` |" in (REFERENCE / "api.md").read_text()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason])
def test_every_reason_is_in_the_api_page(reason: Reason) -> None:
    assert mentioned(reason.name.lower(), "api.md")


def test_every_status_has_its_class_in_the_error_tree() -> None:
    tree = errors.__doc__ or ""
    for cls, (status, _) in STATUS.items():
        stated = re.search(rf"\b{cls.__name__}\s+(\d+)?", tree)
        assert stated
        assert stated[1] in (None, str(status)), cls
    assert all(name in tree for name in error_names())


def test_the_committed_configuration_schema_is_up_to_date() -> None:
    stated = json.loads((REFERENCE / "config.schema.json").read_text())
    assert stated == json.loads(json.dumps(schema())), "run: make schema"


def test_the_committed_openapi_document_is_up_to_date() -> None:
    assert json.loads((REFERENCE / "openapi.json").read_text()) == openapi(), "run: make openapi"


def test_the_architecture_picture_is_up_to_date() -> None:
    text = (DOCS / "img" / "architecture.dot").read_text()
    drawn = html.unescape((DOCS / "img" / "architecture.svg").read_text())
    labels = re.findall(r'label="([^"]+)"', text)
    assert labels
    missing = [line for label in labels for line in label.split(r"\n") if line not in drawn]
    assert not missing, "run: make docs"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_in_the_navigation(page: Path) -> None:
    assert f" {page.relative_to(DOCS)}\n" in (ROOT / "mkdocs.yml").read_text()


def test_the_list_of_folders_names_existing_paths() -> None:
    page = (DOCS / "explanation" / "design.md").read_text()
    table = page.partition("## Where things are\n")[2].partition("\n## ")[0]
    paths = re.findall(r"`((?:bpf|xdpctl|api|tests|bench|packaging)/[^`\s]*)`", table)
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_page_of_kinds_agrees_with_the_code() -> None:
    rows = re.findall(r"(?m)^\| (.*) \|$", (REFERENCE / "kinds.md").read_text())
    cells = [tuple(row.split(" | ")) for row in rows]
    floors = {c[0].strip("`"): c[2].split(";")[0] for c in cells if c[0].startswith("`")}
    assert floors == {kind.setting: f"{FLOORS[kind]:,.0f}" for kind in Traffic}
    words = {False: "no", True: "yes"}
    listed = [(str(s.port), s.name, words[s.amplifies], words[s.asked]) for s in KNOWN]
    assert [c for c in cells if c[0].isdecimal()] == listed
