# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of a fleet that need no engine: scopes, answers, merged incidents, configuration."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.paths import ROOT
from xdpctl.cli.app import hoisted
from xdpctl.config import file as config
from xdpctl.errors import ConfigError, EngineError, RuleError
from xdpctl.fleet import configuration, keys
from xdpctl.fleet.answer import where
from xdpctl.fleet.authority.timers import heartbeat
from xdpctl.fleet.endpoints import Endpoints, spread
from xdpctl.fleet.engine.connection import Connection
from xdpctl.fleet.engine.values import Held
from xdpctl.fleet.intent import check_scope, in_scope
from xdpctl.fleet.node import Card, Nodes, Report, encode, shown
from xdpctl.fleet.relays import RelayReport, relays
from xdpctl.fleet.settings import FleetSettings
from xdpctl.fleet.story import joined
from xdpctl.fleet.troubles import of_relays
from xdpctl.model.incident import Incident
from xdpctl_api import fleet_wide
from xdpctl_api.fleet_neighbours import is_address
from xdpctl_api.fleet_proxy import _merged
from xdpctl_api.shapes.fleet import node_out


def test_a_box_without_a_fleet_imports_no_fleet_module() -> None:
    code = (
        "import sys; import xdpctl_api.app, xdpctl.processes.control_plane, xdpctl.cli.app; "
        "print([m for m in sys.modules if m.startswith(('grpc', 'google.protobuf')) "
        "or m.startswith(('xdpctl.fleet.agent', 'xdpctl.fleet.authority'))])"
    )
    command = [sys.executable, "-c", code]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'api'}"}
    assert subprocess.check_output(command, text=True, env=path, cwd=ROOT).strip() == "[]"


@pytest.mark.parametrize(
    ("scope", "there"),
    [("", True), ("node:edge1", True), ("node:edge2", False), ("group:campus", True),
     ("group:x", False), ("site:x", False)],
)  # fmt: skip
def test_a_scope_includes_the_right_nodes(scope: str, there: bool) -> None:
    assert in_scope(scope, "edge1", ("campus",)) is there


@pytest.mark.parametrize("scope", ["node:", "group:A B", "everywhere", "node:../x"])
def test_a_wrong_scope_is_refused(scope: str) -> None:
    with pytest.raises(RuleError):
        check_scope(scope)
    assert check_scope("all") == check_scope("") == ""


def held(name: str, revision: int, report: Report | None) -> list[Held]:
    keys = [Held(f"nodes/{name}/card", encode(Card()), 1), Held(f"nodes/{name}/alive", b"x", 2)]
    return keys + ([Held(f"nodes/{name}/report", encode(report), revision)] if report else [])


def test_an_answer_names_the_nodes_that_applied_it_and_why_others_did_not() -> None:
    nodes = Nodes()
    listed = [
        *held("edge1", 5, Report(1.0, applied=9)),
        *held("edge2", 6, Report(1.0, applied=9)),
        *held("edge3", 7, Report(1.0, applied=4)),
        *held("edge4", 8, Report(1.0, applied=9, refused={"rules/x": "it is full"})),
        *held("edge5", 9, Report(1.0, applied=9)),
        *held("edge6", 0, None),
        Held("nodes/../card", b"{}", 1),
        Held("nodes/edge9/card", b"\xff", 1),
    ]
    nodes.take(listed, 100.0)
    for each in nodes.by_name.values():
        each.heard = each.heard and (88.0 if each.name == "edge5" else 100.0)
    me = FleetSettings("edge1", (), ("campus",))
    found = where(8, ["rules/x"], nodes.by_name.values(), me, 100.0)
    assert found.applied == ("edge1", "edge2")
    assert str(found) == (
        "2 of 6, edge4 refuses it: it is full, edge3 does not have it yet, edge5 silent for 12 s, "
        "edge6 was not heard of yet"
    )
    alone = where(8, ["rules/x"], nodes.by_name.values(), me, 100.0, "node:edge4")
    assert (alone.applied, list(alone.refused)) == ((), ["edge4"]), "only nodes in the scope count"


def test_a_node_that_refuses_more_than_it_can_list_does_not_count_as_applying() -> None:
    nodes, many = Nodes(), {f"rules/{n}": "it is full" for n in range(30)}
    nodes.take(held("edge2", 6, Report(1.0, applied=9, refusals=30, refused=shown(many))), 100.0)
    me = FleetSettings("edge1", ())
    newest = where(8, ["rules/29"], nodes.by_name.values(), me, 100.0)
    assert newest.refused == {"edge2": "it is full"}
    oldest = where(8, ["rules/0"], nodes.by_name.values(), me, 100.0)
    assert (oldest.applied, oldest.unclear) == (("edge1",), ("edge2",))
    assert "edge2 may refuse it" in str(oldest)


def test_a_nodes_report_about_itself_is_bounded_when_shown() -> None:
    nodes = Nodes()
    odd = Report(1e300, expires=1e300, problems=("\x1b]0;owned\x07",), version="v" * 9_000)
    nodes.take(held("edge2", 6, odd), 100.0)
    seen = nodes.by_name["edge2"].report
    assert seen
    assert seen.problems == ("\N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}",)
    assert len(seen.version) == 300
    assert node_out(nodes.by_name["edge2"], 100.0, 9).certificate_ends is not None


def test_incidents_with_one_victim_at_about_the_same_time_are_merged() -> None:
    def incident(name: str, at: float, closed: float, subject: str = "198.51.100.7/32") -> Incident:
        return Incident(name, subject, at, closed or at, 0.0, closed, attacks=("udp_flood",))

    stories = joined(
        {
            "edge1": [incident("a", 1000, 1300), incident("b", 9000, 0)],
            "edge2": [incident("c", 1200, 1700), incident("d", 1000, 1001, "192.0.2.1/32")],
        }
    )
    assert [[node for node, _ in story.parts] for story in stories] == [
        ["edge1"], ["edge1", "edge2"], ["edge2"]
    ]  # fmt: skip
    assert stories[0].closed_at == 0
    assert (stories[1].opened_at, stories[1].closed_at) == (1000, 1700)


def test_the_answers_of_all_nodes_merge_into_one_of_the_same_shape() -> None:
    rule = {"id": "203.0.113.7_32", "packets": 5, "bytes": 50, "rate": None}
    other = {**rule, "id": "x", "packets": 1}
    merge = fleet_wide.merger("GET", "/v1/rules")
    assert merge
    found = merge({"a": {"rules": [rule], "next": None}, "b": {"rules": [rule, other],
                                                              "next": None}})  # fmt: skip
    assert [(r["id"], r["packets"]) for r in found["rules"]] == [("203.0.113.7_32", 10), ("x", 1)]

    def top(rows: list[tuple[str, float]], packets: float) -> dict[str, object]:
        listed = [{"value": v, "packets": p, "bits": p * 8, "share": p / packets, "error": 0.1,
                   "match": None} for v, p in rows]  # fmt: skip
        return {"seconds": 5.0, "sampled": 10, "missing": 0, "packets": packets, "bits": 1.0,
                "dimensions": [{"by": "source_port", "without": 0.5, "rows": listed}]}  # fmt: skip

    merge = fleet_wide.merger("GET", "/v1/top")
    assert merge
    both = merge({"a": top([("53", 90), ("123", 10)], 100), "b": top([("123", 300)], 300)})
    rows = both["dimensions"][0]["rows"]
    assert [(row["value"], row["packets"], row["share"]) for row in rows] == [
        ("123", 310, 0.775), ("53", 90, 0.225)
    ]  # fmt: skip
    assert both["packets"] == 400
    assert 0.07 < rows[0]["error"] < 0.08
    assert fleet_wide.merger("POST", "/v1/rules") is None
    assert fleet_wide.merger("GET", "/v1/explain") is None


def test_series_are_summed_and_the_condition_is_the_worst_of_all_nodes() -> None:
    def series(values: list[float | None]) -> dict[str, object]:
        figures = {"passed": {"averages": values, "maxima": values}}
        return {"since": "2026-11-27T00:00:00Z", "seconds": 1, "figures": figures}

    merge = fleet_wide.merger("GET", "/v1/series")
    assert merge
    found = merge({"a": series([1.0, 2.0, None]), "b": series([5.0, None])})
    assert found["figures"]["passed"]["averages"] == [7.0, None]
    merge = fleet_wide.merger("GET", "/v1/condition")
    assert merge

    def word(state: str, **rates: float) -> dict[str, object]:
        waiting = [{"id": rule, "rate": rate} for rule, rate in rates.items()]
        return {"state": state, "reasons": [f"it is {state}"], "waiting": waiting, "matches": []}

    worst = merge({"a": word("quiet", one=5.0, two=9.0), "b": word("hurting", one=7.0)})
    assert (worst["state"], worst["reasons"]) == ("hurting", ["b: it is hurting"])
    assert worst["waiting"] == [{"id": "one", "rate": 12.0}, {"id": "two", "rate": 9.0}]


def test_the_fleet_table_is_added_to_the_configuration_and_removed_again(tmp_path: Path) -> None:
    file = tmp_path / "xdpctl.toml"
    file.write_text('interfaces = ["eth0"]\n\n[listen]\nport = 0\n')
    settings = FleetSettings("edge1", ("192.0.2.1:2379",), ("campus",))
    configuration.add_table(file, settings, "root")
    loaded = config.load(file).fleet
    assert loaded
    assert (loaded.name, loaded.endpoints, loaded.groups) == (
        "edge1",
        ("192.0.2.1:2379",),
        ("campus",),
    )
    with pytest.raises(ConfigError, match=r"has a table \[fleet\]"):
        configuration.check_absent(file)
    configuration.remove_table(file)
    assert not config.load(file).fleet
    assert config.load(file).interfaces == ("eth0",)


def test_lines_of_the_fleet_table_change_and_all_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "xdpctl.toml"
    table = '[fleet]\nname = "edge1"\nendpoints = ["a:1"]  # near\narm = "off"\n'
    file.write_text(f"port = 1\n\n{table}\n[listen]\nport = 0\n")
    configuration.change_table(file, {"endpoints": ["b:1"], "revoked_list": "/x"})
    changed = file.read_text()
    assert '"b:1"' in changed
    assert 'arm = "off"' in changed
    assert changed.endswith("[listen]\nport = 0\n")
    configuration.change_table(file, {"revoked_list": None})
    assert "revoked_list" not in file.read_text()
    lines = 'name = "edge1"\nendpoints = [\n  "a:1",\n]\n'
    file.write_text(f"[fleet]\n{lines}")
    with pytest.raises(ConfigError, match=r"write these lines into \[fleet\] yourself: endpoints"):
        configuration.change_table(file, {"endpoints": ["b:1"]})
    assert file.read_text() == f"[fleet]\n{lines}"
    file.write_text("")
    with pytest.raises(ConfigError, match=r"has no table \[fleet\]"):
        configuration.change_table(file, {"endpoints": ["b:1"]})


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('name = "edge1"', "fleet.endpoints is empty"),
        ('name = "Edge 1"\nendpoints = ["a:1"]', "is not a name"),
        ('name = "edge1"\nendpoints = ["a"]', "give HOST:PORT"),
        ('name = "edge1"\nendpoints = ["a:1"]\nprefix = "x"', "must end with /"),
        (f'name = "{"x" * 25}"\nendpoints = ["a:1"]', "at most 24"),
        ('name = "edge1"\nendpoints = ["a:1"]\narm = "full"', "off, monitor, enforce"),
    ],
)
def test_an_error_in_the_fleet_table_is_named(table: str, says: str) -> None:
    import tomllib

    with pytest.raises(ConfigError, match=r"fleet\.") as error:
        config.parse(tomllib.loads(f"[fleet]\n{table}\n"))
    assert says in str(error.value)


def test_the_fleet_options_may_stand_anywhere_on_the_command_line() -> None:
    assert hoisted(["block", "10.0.0.1", "--local"]) == ["--local", "block", "10.0.0.1"]
    assert hoisted(["list", "--node", "edge2", "-o", "json"]) == [
        "--node", "edge2", "list", "-o", "json"
    ]  # fmt: skip
    assert hoisted(["block", "x", "--scope=group:a"]) == ["--scope=group:a", "block", "x"]
    assert hoisted(["set", "put", "x", "--local", "file"]) == ["set", "put", "x", "--local", "file"]
    assert hoisted(["set", "list", "--node", "edge2"]) == ["--node", "edge2", "set", "list"]
    canary = ["--canary", "edge1", "--for", "10m"]
    assert hoisted(["block", "x", *canary]) == [*canary, "block", "x"]
    for before in ([], ["--socket", "/x"], ["--url", "https://x", "--token", "y"], ["--node", "z"]):
        release = [*before, "release", "x", "--for", "1h"]
        assert hoisted(release) == release
    assert hoisted(["hook", "fastnetmon", "--node"]) == ["hook", "fastnetmon", "--node"]


@pytest.mark.parametrize(
    "address",
    ["a@b:1", "a/b:1", "a:1/x", "a:1?x", "a", "a:", " a:1", "a:1\n", "[:]:1", "a:b:c:1", "xn--:1",
     "127.0.0.1:99999", "127.0.0.1:0", "[fe80::1%eth0]:1", "[::1]", "-a:1"],
)  # fmt: skip
def test_an_address_of_a_node_is_a_host_and_a_port(address: str) -> None:
    assert not is_address(address)
    assert is_address("edge-1.example.net:8461")
    assert is_address("[2001:db8::1]:8461")
    assert is_address("192.0.2.1:8461")


def test_the_list_of_members_is_learnt_and_kept_and_garbage_is_ignored(tmp_path: Path) -> None:
    settings = FleetSettings("edge1", ("192.0.2.9:2379", "192.0.2.1:2379"), certificates=tmp_path)
    found = Endpoints(settings)
    assert found.now == settings.endpoints
    orders = {spread(f"edge{n}", ("a:1", "b:1", "c:1"))[0] for n in range(20)}
    assert orders == {"a:1", "b:1", "c:1"}, "nodes spread over the members"
    now = found.take(b'["192.0.2.1:2379","192.0.2.7:2379","192.0.2.9:2379"]')
    assert now == ("192.0.2.9:2379", "192.0.2.1:2379", "192.0.2.7:2379"), "the nearest first"
    gone = found.take(b'["192.0.2.7:2379"]')
    assert gone == ("192.0.2.7:2379", "192.0.2.9:2379", "192.0.2.1:2379"), "configured ones last"
    assert found.take(b'["192.0.2.1:2379","192.0.2.7:2379","192.0.2.9:2379"]') == now
    for garbage in (b"[]", b"\xff", b'["a/b:1"]', b'{"a":1}', b'["a:1"' + b',"a:1"' * 20 + b"]"):
        assert found.take(garbage) == now
    assert Endpoints(settings).now == now


def test_a_node_behind_relays_uses_those_of_its_own_that_the_fleet_lists(tmp_path: Path) -> None:
    own = ("192.0.2.21:2379", "192.0.2.22:2379")
    settings = FleetSettings("edge9", own, certificates=tmp_path, behind_relays=True)
    found = Endpoints(settings)
    assert found.members == (), "it asks no member"
    one = found.take(b'["192.0.2.23:2379","192.0.2.22:2379"]')
    assert one == ("192.0.2.22:2379",), "the other one was revoked, and a foreign one is not used"
    assert Endpoints(settings).now == one
    assert found.take(b'["192.0.2.23:2379"]') == own, "rather a relay than none"
    assert found.take(b"[]") == own


def test_what_relays_say_is_read_within_bounds() -> None:
    def held(key: str, value: bytes) -> Held:
        return Held(f"relays/{key}", value, 1)

    found = relays(
        [
            held("relay1/at", b"192.0.2.21:2379"),
            held("relay1/report", b'{"version":"1","nodes":33,"expires":5.0}'),
            held("relay2/at", b"192.0.2.22:2379"),
            held("relay2/joined", b"1"),
            held("relay5/at", b"192.0.2.25:2379"),
            held("relay3/at", b"\x1b[31m" * 200),
            held("relay3/report", b'{"nodes":-1e99}'),
            held("relay4/report", b"{}"),
        ]
    )
    assert [relay.name for relay in found] == ["relay1", "relay2", "relay3", "relay5"]
    assert found[0].report == RelayReport("1", 33, 5.0)
    assert found[2].report == RelayReport()
    assert "\x1b" not in found[2].endpoint
    (only,) = of_relays(found)  # relay5 has not joined yet
    assert str(only).startswith("the relay relay2 does not answer at 192.0.2.22:2379")


@pytest.mark.parametrize(
    ("first", "end", "owned"),
    [
        ("nodes/edge1/report", "", True),
        ("nodes/edge1/reports", "", False),
        ("nodes/edge1/", "nodes/edge10", False),
        ("found", "", False),
        ("shared/found/edge1/rules/x", "", True),
        ("shared/found/edge10/rules/x", "", False),
        ("shared/found/edge1", "", False),
        ("shared/found/edge1/", "shared/found/edge10", True),
        ("shared/found/edge1/a", "shared/found/edge1/b", True),
        ("shared/found/edge1/", "shared/found/edge11", False),
        ("shared/found/", "shared/found/edge10", False),
        ("shared/found/edge1/", "\0", False),
        ("history/edge1/3", "", True),
        ("undo/edge1/3", "", False),
        ("relays/edge1/report", "", False),
        ("", "", False),
    ],
)
def test_a_node_owns_its_keys_and_no_others(first: str, end: str, owned: bool) -> None:
    assert keys.owns("edge1", first, end) is owned


def test_heartbeats_follow_the_round_trip_and_hardly_ever_change() -> None:
    chosen = [heartbeat(ms / 1000) for ms in (0, 1, 80, 95, 250, 300, 500, 900, 5_000)]
    assert chosen == [100, 100, 100, 300, 300, 600, 600, 1_200, 1_200]
    assert heartbeat(0.2, 600) == 600, "twice the round trip would need as much"
    assert heartbeat(0.12, 600) == 300
    assert heartbeat(0.01, 1_200) == 100


def test_a_call_without_an_answer_or_with_differing_answers_says_so() -> None:
    with pytest.raises(EngineError, match="no node of the fleet answers"):
        _merged(lambda answers: answers, {}, [])
    merge = fleet_wide.merger("GET", "/v1/counters")
    assert merge
    with pytest.raises(EngineError, match="do not fit together"):
        _merged(merge, {"edge1": {"total": 1, "interfaces": {}}, "edge2": {}}, [])


class _Refusing(Connection):
    """A connection whose members refuse, until they are there."""

    there = False

    def _made(self) -> Mock:
        return Mock()

    def check(self, _: object) -> None:
        """Ask as an engine does, whose first answer may take so long."""
        assert 1.0 <= self.first_seconds(1.0) <= 3.0
        if not self.there:
            raise EngineError("refused")


def test_a_node_finds_its_engine_after_an_outage_of_any_length() -> None:
    connection = _Refusing(["192.0.2.1:2379", "192.0.2.2:2379"], Mock())
    connection._check = connection.check
    for _ in range(5_000):
        with pytest.raises(EngineError, match="refused"):
            connection.channel()
    connection.there = True
    connection.channel()
