# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings: unknown, malformed and dangerous ones are refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError
from xdpctl.model.quota import AUTOMATIC, Quota


def test_an_empty_file_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.parse({}) == Settings()
    monkeypatch.setattr("xdpctl.config.paths.CONFIG_FILE", tmp_path / "none.toml")
    assert config.load(None) == Settings()


def test_every_table_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "xdpctl.toml"
    path.write_text("""
interfaces = ["eth0", "eth1"]
protected = ["192.0.2.0/24", "2001:db8::1"]
capacity = 1000
state_dir = "/var/tmp/x"
[listen]
port = 0
socket = "/run/x.sock"
[origins.fastnetmon]
max_rules = 10
max_ttl = "1h30m"
[origins.suricata]
max_ttl = 60
""")
    settings = config.load(path)
    assert settings.interfaces == ("eth0", "eth1")
    assert settings.protected == (parse_prefix("192.0.2.0/24"), parse_prefix("2001:db8::1"))
    assert settings.database == Path("/var/tmp/x/control/rules.sqlite")
    assert settings.listen.socket == Path("/run/x.sock")
    quotas = settings.quotas()
    assert quotas["fastnetmon"] == replace(AUTOMATIC, max_rules=10, max_ttl=5400)
    assert quotas["suricata"] == replace(AUTOMATIC, max_ttl=60)


def test_the_operators_quota_is_the_capacity_and_others_get_the_default() -> None:
    quotas = config.parse({"capacity": 7}).quotas()
    assert quotas == {"operator": Quota(max_rules=7)}


def test_a_configured_quota_changes_only_the_given_limits() -> None:
    quotas = config.parse({"origins": {"operator": {"max_rules": 10}}}).quotas()
    assert quotas == {"operator": Quota(max_rules=10)}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"interface": ["eth0"]}, "unknown setting interface; did you mean interfaces?"),
        ({"listen": {"prot": 1}}, "listen.prot; did you mean listen.port?"),
        ({"origins": {"x": {"max_rule": 1}}}, "did you mean origins.x.max_rules?"),
        ({"zzz": 1}, "unknown setting zzz"),
        ({"capacity": "many"}, "capacity is 'many'; expected a whole number, got text"),
        ({"capacity": True}, "capacity is True; expected a whole number, got true or false"),
        ({"capacity": 0}, "capacity is 0; expected a whole number of at least 1"),
        ({"capacity": 4_000_001}, "expected a whole number of at most 2000000"),
        ({"interfaces": "eth0"}, "interfaces is 'eth0'; expected a list, got text"),
        ({"protected": [1]}, "protected[1] is 1; expected text"),
        ({"protected": ["192.0.2.1/24"]}, "write 192.0.2.0/24"),
        ({"protect_found": 1}, "protect_found is 1; expected true or false"),
        ({"state_dir": 1}, "state_dir is 1; expected text"),
        ({"listen": 1}, "listen is 1; expected a table"),
        ({"listen": {"port": 65_536}}, "listen.port"),
        ({"listen": {"tls_key": "/k"}}, "go together"),
        ({"listen": {"host": "0.0.0.0"}}, "not loopback"),
        ({"listen": {"host": "::"}}, "tls_certificate"),
        ({"origins": {"No Name": {}}}, "not a name"),
        ({"origins": {"x": 1}}, "origins.x is 1; expected a table"),
        ({"origins": {"x": {"max_ttl": "soon"}}}, "origins.x.max_ttl"),
        ({"origins": {"x": {"max_ttl": [1]}}}, "origins.x.max_ttl"),
        ({"origins": {"x": {"max_ttl": True}}}, "origins.x.max_ttl"),
        ({"origins": {"x": {"max_ttl": 0}}}, "origins.x.max_ttl is 0; expected a number > 0.0"),
        (
            {"origins": {"x": {"max_rules": -1}}},
            "origins.x.max_rules is -1; expected a whole number of at least 0",
        ),
        (
            {"origins": {"x": {"shortest_ipv4": 64}}},
            "origins.x.shortest_ipv4 is 64; expected a whole number of at most 32",
        ),
        (
            {"origins": {"x": {"shortest_ipv6": 129}}},
            "origins.x.shortest_ipv6 is 129; expected a whole number of at most 128",
        ),
        ({"bulk_max_bytes": -5}, "bulk_max_bytes is -5; expected a whole number of at least 1"),
        (
            {"origins": {"x": {"max_rules": "1"}}},
            "origins.x.max_rules is '1'; expected a whole number",
        ),
    ],
)
def test_an_invalid_setting_is_named(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(data)
    assert said in str(caught.value)


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    wrong = {
        "interfaces": [{"name": "eth0", "side": "front"}],
        "capacity": "many",
        "listne": {},
        "protected": ["10.0.0.0/8", 7],
        "limits": [{"match": "udp", "pps": 5, "mode": "off"}],
        "automatic": {"ttl": 0, "protect": [{"pps": 5}]},
    }
    with pytest.raises(ConfigError) as caught:
        config.parse(wrong)
    places = [line.split(" is ")[0].split(";")[0] for line in str(caught.value).split("\n")]
    assert places == [
        "interfaces[1].side",
        "capacity",
        "unknown setting listne",
        "protected[2]",
        "limits[1].mode",
        "automatic.ttl",
        "automatic.protect[1].attack",
    ]


def test_problems_of_well_typed_values_are_reported_at_once_too() -> None:
    wrong = {
        "protected": ["10.0.0.1/8", "nowhere"],
        "limits": [{"match": "udp"}, {"match": "nonsense 5", "pps": 5}],
        "origins": {"No Name": {}, "x": {"max_ttl": "soon"}},
        "automatic": {"detectors": {"snort": {"mode": "on"}}},
        "capacity": "many",
    }
    with pytest.raises(ConfigError) as caught:
        config.parse(wrong)
    said = str(caught.value).split("\n")
    places = ("protected[1]", "protected[2]", "capacity", "limits[1]", "limits[2]")
    for place in (*places, "origins.No Name", "origins.x.max_ttl", "automatic.detectors.snort"):
        assert any(line.startswith(place) for line in said), place


def test_a_million_problems_give_a_short_message() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse({"protected": [7] * 1_000})
    said = str(caught.value).split("\n")
    assert (said[0], len(said), said[-1]) == (
        "protected[1] is 7; expected text, got a whole number",
        101,
        "and 900 more",
    )


def test_a_rate_of_zero_is_refused_and_not_taken_for_a_drop() -> None:
    for rate in ({"pps": 0}, {"bps": 0.0}, {"pps": 0, "bps": 0}):
        with pytest.raises(ConfigError, match=r"automatic\.protect\[1\]: a limit must be either"):
            config.parse({"automatic": {"protect": [{"attack": "udp_flood", **rate}]}})


@pytest.mark.parametrize(
    "notify",
    [
        "slack://TOKEN/SECRET",
        {"urls": "slack://TOKEN/SECRET"},
        {"urls": ["slack://TOKEN/SECRET"] * 21},
        {"urls": ["slack://TOKEN/SECRET", 5]},
        {"urls": [{"slack://TOKEN/SECRET": 1}]},
    ],
)
def test_no_message_shows_where_notifications_go(notify: Any) -> None:
    with pytest.raises(ConfigError, match="notify") as caught:
        config.parse({"notify": notify})
    assert "SECRET" not in str(caught.value)


def test_the_choices_of_a_setting_are_named() -> None:
    with pytest.raises(ConfigError, match="expected one of outside, inside"):
        config.parse({"interfaces": [{"name": "eth0", "side": "front"}]})
    with pytest.raises(ConfigError, match=r"expected one of (established, none|none, established)"):
        config.parse({"limits": [{"match": "udp", "pps": 5, "spare": "x"}]})


def test_a_match_and_a_prefix_length_may_be_numbers() -> None:
    table = {"match": {"protocol": "udp", "destination_port": 53}, "pps": 5, "per": 24}
    (limit,) = config.parse({"limits": [table]}).default_limits
    assert (str(limit.match), limit.rate.per_ipv4) == ("proto udp dst-port 53", 24)


def test_the_schema_allows_durations_as_text() -> None:
    durations = config.schema()["$defs"]["FlowSettings"]["properties"]["age"]
    assert durations["type"] == ["number", "string"]


def test_an_interface_that_the_command_line_names_keeps_its_side() -> None:
    given = config.parse({"interfaces": [{"name": "eth0", "side": "outside"}, "eth1"]})
    changed = config.override(given, interfaces=("eth0", "eth2"))
    assert changed.interface_names == ("eth0", "eth2")
    assert changed.outside_interfaces == {"eth0"}


def test_a_wrong_value_in_a_table_gives_a_message_of_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse({"limits": [{"match": "udp", "pps": "many"}]})
    assert str(caught.value).count("\n") == 0


def test_the_schema_knows_every_setting() -> None:
    tables = config.schema()["$defs"]
    assert tables["Listen"]["properties"]["port"]["maximum"] == 65535
    assert tables["Settings"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "listen",
    [
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "port": 0},
        {"host": "0.0.0.0", "tls_certificate": "/c", "tls_key": "/k"},
    ],
)
def test_loopback_needs_no_certificate_and_other_addresses_work_with_one(
    listen: dict[str, Any],
) -> None:
    assert config.parse({"listen": listen}).listen.host == listen["host"]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(ConfigError, match=r"x\.toml: No such file"):
        config.load(path)
    path.write_text("capacity = = 1")
    with pytest.raises(ConfigError, match=r"x\.toml is not TOML"):
        config.load(path)
    path.write_text("capacity = 0")
    with pytest.raises(ConfigError, match=r"x\.toml: capacity"):
        config.load(path)


def test_the_command_line_takes_precedence_over_the_file() -> None:
    given = config.override(
        config.parse({"interfaces": ["eth0"], "listen": {"port": 1}}),
        interfaces=("eth1",),
        state_dir=Path("/s"),
        socket=Path("/x"),
        port=0,
    )
    assert given.interfaces == ("eth1",)
    assert given.state_dir == Path("/s")
    assert (given.listen.socket, given.listen.port) == (Path("/x"), 0)
    kept = config.override(given)
    assert kept == given
    with pytest.raises(ConfigError, match=r"listen\.port"):
        config.override(given, port=70_000)
