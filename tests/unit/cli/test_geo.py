# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of countries from a local database."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run
from tests.unit.cli.test_put import NOT_FOUND
from tests.unit.cli.test_sets import PUT
from tests.unit.lists.geo.test_geo import AS1, DE, US, write_mmdb
from xdpctl.errors import ConfigError
from xdpctl.lists import geo
from xdpctl.model.names import check_reason

__all__ = ["api", "run"]  # the fixtures
PATH = "/v1/sets/places"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    networks = {
        **{"45.0.0.0/16": DE, "45.1.0.0/16": DE, "46.0.0.0/7": DE, "2600::/32": DE},
        **{"48.0.0.0/16": US, "49.0.0.0/24": AS1},
    }
    return write_mmdb(tmp_path / "world.mmdb", networks)


@pytest.fixture
def sent(api: Api, run: Run, database: Path) -> Any:
    """Run `xdpctl set put places`; return the list and the options that it sends."""

    def typed(*arguments: str, expect: int = 0) -> tuple[list[str], dict[str, Any]]:
        api.answers["PUT", PATH] = {**PUT, "name": "places"}
        api.answers.setdefault(("GET", PATH), NOT_FOUND)
        code, _, err = run("set", "put", "places", "--database", str(database), *arguments)
        assert code == expect, err
        (_, _, more) = api.calls[-1]
        assert more["headers"] == {"content-type": "application/octet-stream"}
        return more["content"].decode().splitlines(), more["params"]

    return typed


def test_a_country_is_sent_as_its_networks(sent: Any) -> None:
    lines, choices = sent("--country", "de")
    assert lines == ["45.0.0.0/15", "46.0.0.0/8", "47.0.0.0/8", "2600::/32"]
    assert choices["reason"].startswith("DE, ")
    assert "of a test" in choices["reason"]
    assert {k: v for k, v in choices.items() if k != "reason"} == {**{"format": "plain"}}


def test_countries_and_ases_are_combined_or_excluded(sent: Any) -> None:
    lines, choices = sent("--country", "US", "--asn", "as64500", "--monitor", "--dry-run")
    assert lines == ["48.0.0.0/16", "49.0.0.0/24"]
    assert choices["reason"].startswith("US AS64500, ")
    assert (choices["mode"], choices["dry_run"]) == ("monitor", True)
    lines, choices = sent("--country", "DE", "--except", "--force")
    assert lines == ["48.0.0.0/16"]
    assert choices["reason"].startswith("all but DE, ")
    assert choices["force"]


def test_the_given_options_are_sent(sent: Any) -> None:
    _, choices = sent("--country", "DE", "--action", "accept", "--reason", "customers")
    assert (choices["action"], choices["reason"]) == ("accept", "customers")


def test_options_that_are_not_given_stay_except_a_generated_reason(sent: Any, api: Api) -> None:
    held = {**PUT, "reason": "whom we serve"}
    api.answers["GET", PATH] = held
    assert sent("--country", "DE")[1] == {"format": "plain"}
    _, made = sent("--country", "DE", "--reason", "else")
    assert made["reason"] == "else"
    api.answers["GET", PATH] = NOT_FOUND
    ours = sent("--country", "US")[1]["reason"]
    api.answers["GET", PATH] = {**held, "reason": ours}
    assert sent("--country", "DE")[1]["reason"] == ours.replace("US", "DE", 1)


def test_a_generated_reason_is_never_too_long(
    sent: Any, tmp_path: Path, api: Api, run: Run
) -> None:
    numbers = range(64500, 64600)
    networks = {f"45.{n - 64500}.0.0/16": {**AS1, "autonomous_system_number": n} for n in numbers}
    path = write_mmdb(tmp_path / "many", networks)
    api.answers["PUT", PATH] = PUT
    api.answers["GET", PATH] = NOT_FOUND
    given = [word for n in numbers for word in ("--asn", str(n))]
    assert run("set", "put", "places", "--database", str(path), *given)[0] == 0
    check_reason(api.calls[-1][2]["params"]["reason"])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--country", "UK"], 1, "GB"),
        (["--country", "Germany"], 1, "DE"),
        (["--country", "JP"], 1, "JP has no network"),
        (["--asn", "x"], 1, "AS"),
        (["--asn", "64999"], 1, "AS64999 has no network"),
        (["--country", "DE", "--database", "/none.mmdb"], 2, "/none.mmdb"),
    ],
)
def test_errors_are_reported_before_any_request(
    api: Api, run: Run, database: Path, arguments: list[str], code: int, says: str
) -> None:
    given = arguments if "--database" in arguments else [*arguments, "--database", str(database)]
    ended, _, err = run("set", "put", "places", *given)
    assert ended == code
    assert says in err
    assert not api.calls


def test_without_a_database_the_package_to_install_is_named(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise ConfigError("no database; install libloc-database")

    monkeypatch.setattr(geo, "open_installed", none)
    code, _, err = run("set", "put", "places", "--country", "DE")
    assert code == 2
    assert "libloc-database" in err
    assert not api.calls


def test_json_output_is_the_response_of_the_api(api: Api, run: Run, database: Path) -> None:
    api.answers = {("PUT", PATH): PUT, ("GET", PATH): NOT_FOUND}
    _, out, _ = run(
        "set", "put", "places", "--database", str(database), "--country", "DE", "--json"
    )
    assert json.loads(out) == PUT
