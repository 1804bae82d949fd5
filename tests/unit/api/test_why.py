# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking up an address: its location, the entries that cover it, and the set that decided."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.setcalls import HIGH, LOW, hosts
from tests.unit.lists.geo.test_geo import AS1, DE, write_mmdb
from xdpctl.abi.constants import Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import ConfigError, DatapathError
from xdpctl.lists.geo import Place
from xdpctl.model.protection import CONFIGURED


class World:
    """Knows one network."""

    description = "a test's world"

    def lookup(self, address: Prefix) -> Place | None:
        if not parse_prefix("45.0.0.0/16").covers(address):
            return None
        return Place("DE", 64500, "Example", "45.0.0.0/16")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr("xdpctl.lists.geo.files.find_databases", list)  # none is installed
    with running(tmp_path, protection={"45.0.9.0/24": CONFIGURED}) as api:
        yield api


@pytest.fixture
def world(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.context, "geo_databases", SimpleNamespace(current=World))


def get(api: Api, path: str) -> Any:
    answer = api.call("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("world")
def test_an_address_has_a_location_if_there_is_a_database(api: Api) -> None:
    found = get(api, "/v1/why/45.0.0.7")
    place = {"country": "DE", "asn": 64500, "as_name": "Example", "network": "45.0.0.0/16"}
    assert found["address"] == "45.0.0.7"
    assert {name: found[name] for name in place} == place
    assert (found["database"], found["covering"]) == ("a test's world", [])
    found = get(api, "/v1/why/2001:db8::1")
    assert (found["address"], found["country"], found["asn"]) == ("2001:db8::1", None, None)
    assert found["database"] == "a test's world"


def test_without_a_database_the_lookup_says_so(api: Api) -> None:
    found = get(api, "/v1/why/45.0.0.7")
    assert found["database"] is None
    assert found["country"] is None
    assert found["covering"] == []


def test_a_configured_database_is_read_again_when_it_changes_and_kept_while_it_is_gone(
    tmp_path: Path,
) -> None:
    file = write_mmdb(tmp_path / "x.mmdb", {"45.0.0.0/16": DE, "46.0.0.0/16": AS1})
    with running(tmp_path, geo_databases=(str(file),)) as api:
        assert get(api, "/v1/why/45.0.0.7")["country"] == "DE"
        file.unlink()
        assert get(api, "/v1/why/45.0.0.7")["network"] == "45.0.0.0/16"
        assert "of a test" in get(api, "/v1/why/47.0.0.7")["database"]
        write_mmdb(file, {"45.0.0.0/16": AS1})
        assert get(api, "/v1/why/45.0.0.7")["asn"] == AS1["autonomous_system_number"]
        other = tmp_path / "damaged"
        other.write_bytes(b"damaged")
        other.replace(file)
        assert get(api, "/v1/why/45.0.0.7")["network"] == "45.0.0.0/16"


def test_an_unreadable_configured_database_is_reported_every_time(tmp_path: Path) -> None:
    with running(tmp_path, geo_databases=(str(tmp_path / "none.mmdb"),)) as api:
        said = [api.call("GET", "/v1/why/45.0.0.7").text for _ in range(2)]
        assert "none.mmdb" in said[0]
        assert said[1] == said[0]


def test_all_entries_that_cover_an_address_are_listed_in_order(api: Api) -> None:
    api.put("good", b"45.0.9.0/24", action="accept", mode="monitor")
    api.put("bad", b"45.0.0.0/8\n45.0.9.7\n45.0.9.0/24")
    api.add("45.0.9.0/24", action="accept")
    found = get(api, "/v1/why/45.0.9.7")["covering"]
    spared = [(e["prefix"], e["set"]) for e in found if not e["applied"]]
    assert spared == [("45.0.9.7/32", "bad"), ("45.0.9.0/24", "bad")], (
        "the entry is listed all the same"
    )
    found = [e for e in found if e["applied"]]
    assert [(e["prefix"], e["rule"], e["set"], e["protected"]) for e in found] == [
        ("45.0.9.0/24", None, None, CONFIGURED),
        ("45.0.9.0/24", "45.0.9.0_24", None, None),
        ("45.0.9.0/24", None, "good", None),
        ("45.0.0.0/8", None, "bad", None),
    ]
    assert [(e["action"], e["mode"]) for e in found[2:]] == [
        ("accept", "monitor"),
        ("drop", "enforce"),
    ]


def test_each_named_host_is_asked_by_itself_and_the_answers_are_put_together(api: Api) -> None:
    opened = api.call("POST", "/v1/incidents", json={"victim": "198.51.100.9"}).json()
    rule = api.add("45.0.0.0/24", reason="flood", ttl="1h")
    api.call(
        "POST", "/v1/rules", json={"match": "udp dst 198.51.100.7 dst-port 99", "action": "drop"}
    )
    api.datapath.explanation = Explanation(Reason.DROPPED, (rule["slot"],))
    found = get(api, "/v1/why/45.0.0.7")
    (web,) = found["answers"]
    assert len(api.datapath.explained) == len(web["services"]) * len(web["to"]) > 6
    assert {"any other host", "198.51.100.7"} <= set(web["to"])
    assert (web["verdict"], web["reason"], web["rule"]["id"]) == ("drop", "dropped", "45.0.0.0_24")
    assert web["incident"] == opened["id"]
    assert found["sentence"].startswith("45.0.0.7 is kept out by an operator's drop (flood)")
    assert found["could_hit"] == [], "the drop of the source decides all"
    api.datapath.explanation = Explanation(Reason.NO_RULE, ())
    found = get(api, "/v1/why/45.0.0.7")
    assert found["sentence"].startswith("What was tried of 45.0.0.7 passes.")
    assert [each["text"] for each in found["could_hit"]] == [
        "dst 198.51.100.7 proto udp dst-port 99"
    ]
    assert {each["verdict"] for each in found["answers"]} == {"pass"}


def test_what_is_known_is_told_although_the_program_cannot_be_asked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(frame: bytes, outside: bool) -> Explanation:
        raise DatapathError("it is not loaded")

    monkeypatch.setattr(api.datapath, "explain", gone)
    api.add("45.0.0.0/24")
    found = get(api, "/v1/why/45.0.0.7")
    assert found["answers"] is None
    assert found["sentence"] == "What happens to 45.0.0.7 is not known: it is not loaded."
    assert found["covering"][0]["rule"] == "45.0.0.0_24"


@pytest.mark.parametrize("address", ["nonsense", "45.0.0.0/8", "45.0.0.7%2F32", "::ffff:1.2.3.4"])
def test_text_that_is_not_an_address_is_refused(api: Api, address: str) -> None:
    answer = api.call("GET", f"/v1/why/{address}")
    if answer.status_code != 404:  # a slash makes it another path
        assert problem(answer, 400, "bad-request")["field"] == "address"
    problem(api.call("GET", "/v1/why/45.0.0.7", TCP), 401, "access")


def test_explain_names_the_set_that_decided_and_those_that_only_count(api: Api) -> None:
    api.put("bad", b"45.0.0.0/24")
    api.put("watched", b"45.0.0.7", mode="monitor")
    rule = api.add("45.0.0.7", mode="monitor")
    api.datapath.explanation = Explanation(Reason.DROPPED, (rule["slot"], HIGH - 1, HIGH))
    found = get(api, "/v1/explain?source=45.0.0.7")
    assert (found["verdict"], found["set"], found["rule"]) == ("drop", "bad", None)
    assert found["monitored_sets"] == ["watched"]
    assert [each["id"] for each in found["monitored"]] == ["45.0.0.7_32"]
    api.datapath.explanation = Explanation(Reason.DROPPED, (HIGH - 1, rule["slot"]))
    found = get(api, "/v1/explain?source=45.0.0.7")
    assert (found["set"], found["rule"]["id"]) == (None, "45.0.0.7_32")
    api.datapath.explanation = Explanation(Reason.NO_RULE, (HIGH - 1,))
    found = get(api, f"/v1/explain?frame={'00' * 14}")
    assert (found["set"], found["rule"], found["monitored_sets"]) == (None, None, ["watched"])
    api.datapath.explanation = Explanation(Reason.ACCEPTED, (LOW + 9,))
    assert get(api, "/v1/explain?source=45.0.0.7")["set"] is None, "it went meanwhile"


def test_explain_without_a_destination_tries_each_possible_host(api: Api) -> None:
    matches = {
        "drop": "dst 198.51.100.7 proto udp dst-port 53",
        "accept": "dst 198.51.100.8 proto udp dst-port 53",
    }
    for action, match in matches.items():
        body = {"match": match, "action": action, "ttl": "1h"}
        assert api.call("POST", "/v1/rules", json=body).status_code == 201
    found = get(api, "/v1/explain?source=45.0.0.7&protocol=udp")
    asked = [bytes(frame[30:34]) for frame in api.datapath.explained]
    assert found["destinations"] == len(asked)
    for host in ("192.0.2.1", "198.51.100.7", "198.51.100.8", "45.0.9.0"):
        assert parse_prefix(host).address in asked
    assert found["verdict"] == "pass"
    (could,) = found["could_hit"]
    assert could["match"]["destination"].startswith("198.51.100.7"), "an accept hits nobody"
    api.datapath.explained.clear()
    assert get(api, "/v1/explain?source=45.0.0.7&destination=192.0.2.9")["destinations"] == 1


def test_status_shows_the_fill_of_every_table_and_warns_from_80_percent(api: Api) -> None:
    api.controller.state.capacity = {4: 100, 6: 10}
    api.put("bad", "\n".join([*hosts(78), "2600::/32"]).encode())
    found = get(api, "/v1/status")
    tables = {table["name"]: (table["used"], table["capacity"]) for table in found["tables"]}
    assert tables["IPv4 entries"] == (79, 100), "with what is protected"
    assert tables["IPv6 entries"] == (1, 10)
    assert (tables["sets"], tables["rules"]) == ((1, 64), (0, 16))
    assert tables["overlaps of sets"][0] == 0
    assert found["sets"] == {"bad": 79}
    assert found["kernel_memory"]["cells4"] > 0
    assert found["warnings"] == []
    api.put("bad", "\n".join([*hosts(79), "2600::/32"]).encode(), 200)
    (warning,) = get(api, "/v1/status")["warnings"]
    assert warning == "IPv4 entries are 80% full: 80 of 100"
    api.put("over", "\n".join(hosts(1)).encode(), action="accept")
    fills = {table["name"]: table for table in get(api, "/v1/status")["tables"]}
    assert fills["overlaps of sets"]["used"] == 1
    assert fills["IPv4 entries"]["fill"] == 0.81
    assert get(api, "/readyz")["ready"]


def test_metrics_include_sets_and_tables(api: Api) -> None:
    api.put("bad", b"45.0.0.0/24\n2600::/32")
    api.put("good", b"46.0.0.1", action="accept", mode="monitor")
    api.datapath.hit_values[HIGH] = Hits(23, 1481).pack()
    text = api.call("GET", "/metrics").text
    samples = {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    bad, good = ("bad",), ("good",)
    assert samples["xdpctl_set_info", "drop", "in", "enforce", "bad"] == 1
    assert samples["xdpctl_set_info", "accept", "in", "monitor", "good"] == 1
    assert samples["xdpctl_set_entries", *bad] == 2
    assert samples["xdpctl_set_entries", *good] == 1
    assert samples["xdpctl_set_packets_total", *bad] == 23
    assert samples["xdpctl_set_bytes_total", *bad] == 1481
    assert samples["xdpctl_set_packets_total", *good] == 0
    assert samples["xdpctl_set_changed_timestamp_seconds", "bad"] == api.clock.unix
    assert samples["xdpctl_table_used", "ipv4_entries"] == 3
    assert samples["xdpctl_table_used", "sets"] == 2
    assert samples["xdpctl_table_capacity", "sets"] == 64
    assert samples["xdpctl_kernel_memory_bytes", "slots"] == len(api.datapath.memory_of["slots"])
    assert not [name for name, *_ in samples if name == "xdpctl_feed_failures"]


def test_a_damaged_database_causes_no_internal_error(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ConfigError("x.mmdb is a damaged MMDB file")

    monkeypatch.setattr("xdpctl.lists.geo.files.find_databases", lambda: [Path(__file__)])
    monkeypatch.setattr("xdpctl.lists.geo.files.open_installed", broken)
    assert "damaged" in problem(api.call("GET", "/v1/why/45.0.0.7"), 400, "bad-request")["detail"]


def by_side(frame: bytes, outside: bool) -> Explanation:
    return Explanation(Reason.SPOOFED if outside else Reason.NO_RULE, ())


@pytest.mark.parametrize(
    ("ports", "says"),
    [
        ({"isp0": True, "lan0": False}, "Nothing on this box keeps 45.0.0.7 out"),
        ({"isp0": True}, "45.0.0.7 is taken for forged"),
    ],
)
def test_an_address_of_the_inside_is_asked_where_it_can_come_from(
    api: Api, monkeypatch: pytest.MonkeyPatch, ports: dict[str, bool], says: str
) -> None:
    known = {name: {"outside": side, "state": "attached"} for name, side in ports.items()}
    monkeypatch.setattr(api.context.loader, "ports", lambda: known)
    monkeypatch.setattr(api.datapath, "explain", by_side)
    assert get(api, "/v1/why/45.0.0.7")["sentence"].startswith(says)


def test_a_limit_that_is_not_exceeded_now_is_told(api: Api) -> None:
    body = {"match": "udp dst-port 53", "action": "limit", "limit": {"pps": 9}}
    rule = api.call("POST", "/v1/rules", json=body).json()
    api.datapath.explanation = Explanation(Reason.NO_RULE, (rule["slot"],))
    found = get(api, "/v1/why/45.0.0.7")
    assert {(each["verdict"], each["rule"]["id"]) for each in found["answers"]} == {
        ("limit", rule["id"])
    }
    assert "up to an operator's limit: proto udp dst-port 53" in found["sentence"]


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.0", "::1"])
def test_an_address_that_no_caller_can_have_is_named(api: Api, address: str) -> None:
    told = api.call("GET", f"/v1/why/{address}").json()["sentence"]
    assert told == f"{address} is nobody's: no host that calls can have this address."
