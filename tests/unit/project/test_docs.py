"""Nothing is undocumented: commands, settings, routes, errors; and openapi.json is up to date."""

import inspect
import json
import re
from dataclasses import fields

import pytest
import typer

from tests.support.paths import ROOT
from xdpctl import errors
from xdpctl.abi.structs import Reason
from xdpctl.cli.app import app
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.policy import Quota
from xdpctl.service.config import Listen, Settings
from xdpctl_api.app import openapi
from xdpctl_api.problems import STATUS

DOCS = ROOT / "docs"
TABLES = {"listen", "origins", "feeds", "automatic"}  # their settings are named below them


def commands() -> list[str]:
    root = typer.main.get_command(app)
    found = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found += [f"{name} {verb}" for verb in inner] or [name]
    return found


def setting_names() -> list[str]:
    plain = [field.name for field in fields(Settings) if field.name not in TABLES]
    listen = [f"listen.{field.name}" for field in fields(Listen)]
    feeds = [f"feeds.{field.name}" for field in fields(FeedSettings)]
    automatic = [f"automatic.{field.name}" for field in fields(AutomaticSettings)]
    return plain + listen + feeds + automatic + [field.name for field in fields(Quota)]


def error_names() -> list[str]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return [name for name, cls in classes if issubclass(cls, errors.XdpctlError)]


def mentioned(name: str, page: str) -> bool:
    """In code style, as a whole word."""
    text = (DOCS / page).read_text()
    return re.search(rf"`[^`\n]*(?<![\w.-]){re.escape(name)}(?![\w.-])[^`\n]*`", text) is not None


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_operations(command: str) -> None:
    assert mentioned(command, "operations.md")


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_is_in_operations(setting: str) -> None:
    text = (DOCS / "operations.md").read_text()
    assert mentioned(setting, "operations.md") or f".{setting}`" in text


@pytest.mark.parametrize("path", openapi()["paths"])
def test_every_route_is_in_the_api_page(path: str) -> None:
    page = (DOCS / "api.md").read_text()
    for method in openapi()["paths"][path]:
        assert re.search(rf"{method.upper()} {re.escape(path)}(?![\w/])", page), method


@pytest.mark.parametrize("name", error_names())
def test_every_error_is_in_the_api_page(name: str) -> None:
    assert mentioned(name, "api.md")


@pytest.mark.parametrize(("status", "kind"), sorted(set(STATUS.values())))
def test_every_problem_type_stands_beside_its_status(status: int, kind: str) -> None:
    assert f"| {status} | `{kind}` |" in (DOCS / "api.md").read_text()


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


def test_openapi_json_is_what_the_application_says() -> None:
    assert json.loads((DOCS / "openapi.json").read_text()) == openapi(), "run: make openapi"
