# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans of countries and autonomous systems are one set, which is removed with the last ban."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run
from tests.unit.cli.test_put import NOT_FOUND
from tests.unit.lists.geo.test_geo import AS1, DE, US, write_mmdb
from xdpctl.cli.detectors.follow import SET, Choice, PlaceSync
from xdpctl.client import Client
from xdpctl.detectors.follow.crowdsec import Access, Places
from xdpctl.errors import ConfigError, RuleError
from xdpctl.lists.geo import open_databases

__all__ = ["api", "run"]
PATH = f"/v1/sets/{SET}"


def ban(number: int, value: str, scope: str = "Country", kind: str = "ban") -> dict[str, Any]:
    said = {"id": number, "scope": scope, "value": value, "type": kind, "duration": "4h"}
    return {**said, "origin": "cscli", "scenario": "manual"}


def stream(*new: dict[str, Any], deleted: tuple[dict[str, Any], ...] = ()) -> bytes:
    return json.dumps({"new": list(new) or None, "deleted": list(deleted) or None}).encode()


def test_the_banned_places_follow_the_decisions() -> None:
    places = Places()
    assert places.take(stream(ban(1, "de"), ban(2, "AS64500", "AS")), True)
    assert (places.countries, places.asns) == (frozenset({"DE"}), frozenset({"AS64500"}))
    assert not places.take(stream(ban(3, "DE")), False), "banned twice is banned"
    assert not places.take(stream(deleted=(ban(1, "DE"),)), False), "another decision stands"
    assert places.take(stream(ban(4, "US"), deleted=(ban(3, "DE"),)), False)
    assert places.countries == {"US"}
    assert not places.take(stream(deleted=(ban(3, "DE"),)), False), "deltas repeat what is gone"
    assert places.take(stream(ban(4, "US")), True), "all of them: the rest is gone"
    assert places.asns == set()
    assert not places.take(stream(ban(9, "FR", kind="captcha"), ban(8, "1.2.3.4", "Ip")), False)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"new": 1}', b'{"new": [1]}'])
def test_invalid_decisions_change_nothing(body: bytes) -> None:
    places = Places()
    places.take(stream(ban(1, "DE")), True)
    with pytest.raises(RuleError):
        places.take(body, True)
    assert places.countries == {"DE"}


class Sets:
    """Updates the set from decisions, through a fake control plane."""

    def __init__(self, api: Api, database: Path, choice: Choice = Choice.DROP) -> None:
        self.api = api
        api.answers["PUT", PATH] = {}
        api.answers["DELETE", PATH] = {}
        client = Client(Path("/nowhere"))
        self.placing = PlaceSync(client, choice, lambda: open_databases([database]))

    def lines(self) -> list[str]:
        """The lines of the last PUT."""
        method, path, more = self.api.calls[-1]
        assert (method, path) == ("PUT", PATH)
        found: list[str] = more["content"].decode().splitlines()
        return found


@pytest.fixture
def database(tmp_path: Path) -> Path:
    networks = {"45.0.0.0/16": DE, "48.0.0.0/16": US, "49.0.0.0/24": AS1}
    return write_mmdb(tmp_path / "world.mmdb", networks)


def test_a_banned_place_is_put_as_a_set_of_its_networks(api: Api, database: Path) -> None:
    sets = Sets(api, database)
    sets.placing(stream(ban(1, "DE"), ban(2, "AS64500", "As")), True)
    assert sorted(sets.lines()) == ["45.0.0.0/16", "49.0.0.0/24"]
    choices = api.calls[-1][2]["params"]
    assert (choices["mode"], choices["spare"]) == ("enforce", "established")
    assert choices["reason"] == "CrowdSec bans AS64500, DE"
    sets.placing(stream(), False)
    assert len(api.calls) == 1, "nothing changed, nothing is put"
    sets.placing(stream(deleted=(ban(1, "DE"), ban(2, "AS64500", "As"))), False)
    assert api.calls[-1][:2] == ("DELETE", PATH)


def test_the_set_of_places_may_be_in_monitor_mode(api: Api, database: Path) -> None:
    Sets(api, database, Choice.MONITOR).placing(stream(ban(1, "US")), True)
    assert api.calls[-1][2]["params"]["mode"] == "monitor"


def test_an_unknown_place_does_not_affect_the_others(
    api: Api, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = Sets(api, database)
    sets.placing(stream(ban(1, "DE"), ban(2, "FR"), ban(3, "nonsense", "AS")), True)
    assert sets.lines() == ["45.0.0.0/16"]
    assert caplog.text.count("left out") == 2
    sets.placing(stream(deleted=(ban(1, "DE"),)), False)
    assert api.calls[-1][:2] == ("DELETE", PATH)


def test_without_bans_a_missing_set_is_no_error(api: Api, database: Path) -> None:
    sets = Sets(api, database)
    api.answers["DELETE", PATH] = NOT_FOUND
    sets.placing(stream(), True)
    sets.placing(stream(), True)
    assert [call[0] for call in api.calls] == ["DELETE"]


def test_a_set_that_could_not_be_put_is_put_at_the_next_poll(
    api: Api, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = Sets(api, database)
    api.answers["PUT", PATH] = NOT_FOUND
    sets.placing(stream(ban(1, "DE")), True)
    assert f"the set {SET} was not updated" in caplog.text
    api.answers["PUT", PATH] = {}
    sets.placing(stream(), False)
    assert sets.lines() == ["45.0.0.0/16"]


def test_a_key_or_a_certificate_and_not_both(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    for given in ([], ["--key-file", str(key), "--certificate", str(key)]):
        code, _, err = run("follow", "crowdsec", *given)
        assert code == 2
        assert "give either --key-file or --certificate" in err


def test_files_that_are_not_certificates_are_reported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for access in (
        Access("https://127.0.0.1:1", certificate=bad),
        Access("https://127.0.0.1:1", ca=bad),
        Access("https://127.0.0.1:1", ca=tmp_path / "missing"),
    ):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            access.session()


def test_decisions_about_places_are_requested_only_if_configured() -> None:
    assert Access("http://x", "k").query(True) == {"startup": "true"}
    asked = Access("http://x", "k", places=True).query(False)
    assert asked == {"startup": "false", "scopes": "ip,range,country,as"}


def test_the_key_is_sent_and_a_configured_authority_is_trusted(tmp_path: Path) -> None:
    with Access("http://127.0.0.1:1", "secret").session() as session:
        assert session.headers["x-api-key"] == "secret"
    authority = ssl.get_default_verify_paths().cafile
    if authority is None:
        pytest.skip("this machine has no file of authorities")
    with Access("https://127.0.0.1:1", ca=Path(authority)).session() as session:
        assert "x-api-key" not in session.headers
