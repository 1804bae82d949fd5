# SPDX-License-Identifier: GPL-2.0-or-later
"""The system endpoints: status, readiness, counters, metrics, explain, audit, bypass."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import packets
from tests.support.apiclient import ATTACHED, Api, problem, running
from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Hits
from xdpctl.model.protection import CONFIGURED

GONE_PID = 2**22 + 1  # above PID_MAX_LIMIT, so never anybody's


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=4, protection={"192.0.2.0/24": CONFIGURED}) as api:
        api.datapath.by_port = {
            "eth0": {Reason.DROPPED: Hits(23, 1481), Reason.NO_RULE: Hits(7, 700)},
            "eth1": {Reason.DROPPED: Hits(1, 64)},
        }
        yield api


def get(api: Api, path: str) -> Any:
    answer = api.call("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_status_shows_everything_at_a_glance(api: Api) -> None:
    api.add("10.0.0.1")
    found = get(api, "/v1/status")
    assert found["problems"] == []
    assert found["rules"] == {
        "total": 1,
        "by_origin": {"operator": 1},
        "capacity": 4,
        "fill": 0.25,
    }
    assert found["protected"] == [{"prefix": "192.0.2.0/24", "why": CONFIGURED}]
    assert found["interfaces"] == ATTACHED
    assert not found["bypass"]
    assert get(api, "/v1/interfaces")["interfaces"] == ATTACHED


def test_counters_add_up(api: Api) -> None:
    found = get(api, "/v1/counters")
    assert found["total"]["dropped"]["packets"] == 24
    assert found["total"]["dropped"]["bytes"] == 1545
    assert found["interfaces"]["eth0"]["no_rule"]["packets"] == 7
    assert found["interfaces"]["eth0"]["dropped"]["verdict"] == "drop"


def not_ready(api: Api) -> list[str]:
    answer = api.call("GET", "/readyz")
    assert answer.status_code == 503
    assert not answer.json()["ready"]
    problems: list[str] = answer.json()["problems"]
    assert problems == get(api, "/v1/status")["problems"]
    return problems


def test_a_healthy_box_is_ready(api: Api) -> None:
    assert get(api, "/readyz") == {"ready": True, "problems": []}
    assert get(api, "/healthz") == {"status": "ok"}


def test_a_full_table_is_not_ready(api: Api) -> None:
    for number in range(4):
        api.add(f"10.0.0.{number}")
    assert "full: 4 rules" in not_ready(api)[0]


def test_a_bypass_is_not_ready_and_is_audited(api: Api) -> None:
    said = api.call("POST", "/v1/bypass", json={"on": True}).json()
    assert said == {"on": True, "audited": True}
    assert get(api, "/v1/bypass") == {"on": True}
    assert "bypass" in not_ready(api)[0]
    api.store.broken = True
    said = api.call("POST", "/v1/bypass", json={"on": False}).json()
    assert said == {"on": False, "audited": False}
    assert not api.datapath.bypass()
    problem(api.call("POST", "/v1/bypass", json={"on": "perhaps"}), 400, "bad-request")


def test_a_loader_that_never_spoke_or_died_is_not_ready(api: Api) -> None:
    api.settings.loader_status.unlink()
    assert "loader" in not_ready(api)[0]
    assert get(api, "/v1/interfaces") == {"loader": {}, "interfaces": {}}
    api.settings.loader_status.write_text("{")
    assert "loader" in not_ready(api)[0]
    api.loader_says(ATTACHED, pid=GONE_PID)
    assert "not running" in not_ready(api)[0]


def test_an_interface_that_is_not_attached_is_not_ready(api: Api) -> None:
    api.loader_says({"eth1": {"state": "failed", "mode": None, "detail": "MTU"}})
    assert not_ready(api) == ["eth1 is failed: MTU"]


def test_metrics_are_what_prometheus_reads(api: Api) -> None:
    api.add("10.0.0.1")
    problem(api.call("POST", "/v1/rules", json={"match": {"source": "x"}}), 400, "bad-request")
    answer = api.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["xdpctl_packets_total", "drop", "dropped", "eth0"] == 23
    assert samples["xdpctl_bytes_total", "drop", "dropped", "eth1"] == 64
    assert samples["xdpctl_rules", "operator"] == 1
    assert samples["xdpctl_table_capacity", "rules"] == 4
    assert samples["xdpctl_table_used", "rules"] == 1
    assert samples["xdpctl_bypass",] == 0
    assert samples["xdpctl_ready",] == 1
    assert samples["xdpctl_refused_total", "bad-request"] == 1
    assert samples["xdpctl_interface_attached", "eth0", "native"] == 1


def test_explain_names_the_deciding_rule_and_those_met_before(api: Api) -> None:
    watched = api.add("10.0.0.1", mode="monitor")
    decided = api.add("10.0.0.0/8")
    slots = (watched["slot"], decided["slot"])
    api.datapath.explanation = Explanation(Reason.DROPPED, slots)
    found = get(api, "/v1/explain?source=10.0.0.1&protocol=tcp&destination_port=22")
    assert (found["verdict"], found["reason"]) == ("drop", "dropped")
    assert found["rule"]["id"] == "10.0.0.0_8"
    assert [rule["id"] for rule in found["monitored"]] == ["10.0.0.1_32"]
    assert found["protected_by"] is None
    (frame,) = api.datapath.explained
    assert found["frame"] == frame.hex()
    assert frame[23] == 6
    assert frame[26:30] == bytes((10, 0, 0, 1))


def test_explain_names_the_protected_prefix(api: Api) -> None:
    api.datapath.explanation = Explanation(Reason.PROTECTED, (1,))
    found = get(api, "/v1/explain?source=192.0.2.9")
    assert found["verdict"] == "pass"
    assert found["rule"] is None
    assert found["protected_by"] == {"prefix": "192.0.2.0/24", "why": CONFIGURED}


def test_a_rule_on_the_protected_prefix_itself_was_not_met(api: Api) -> None:
    api.add("192.0.2.0/24", action="accept")
    api.datapath.explanation = Explanation(Reason.PROTECTED, (1,))
    found = get(api, "/v1/explain?source=192.0.2.9")
    assert (found["rule"], found["monitored"]) == (None, [])


@pytest.mark.parametrize(
    ("sides", "asked", "says"),
    [
        ((False,), "true", "no interface of this box is outside"),
        ((True,), "false", "all interfaces of this box are outside"),
        ((True, False), "false", ""),
        ((True, False), "true", ""),
        ((), "false", ""),
    ],
)
def test_explain_is_asked_for_a_side_on_which_the_loader_has_an_interface(
    api: Api, sides: tuple[bool, ...], asked: str, says: str
) -> None:
    api.loader_says({f"eth{n}": {"outside": outside} for n, outside in enumerate(sides)})
    answer = api.call("GET", "/v1/explain", params={"source": "10.0.0.1", "outside": asked})
    if says:
        told = problem(answer, 400, "bad-request")
        assert (told["field"], told["detail"]) == ("outside", says)
    else:
        assert answer.status_code == 200


def test_explain_takes_a_whole_frame(api: Api) -> None:
    rule = api.add("10.0.0.1")
    api.datapath.explanation = Explanation(Reason.DROPPED, (rule["slot"],))
    frame = packets.to_frame("10.0.0.1")
    found = get(api, f"/v1/explain?frame={frame.hex()}")
    assert found["rule"]["id"] == "10.0.0.1_32"
    assert api.datapath.explained == [frame]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "source"),
        ("source=10.0.0.1&frame=00", "source"),
        ("source=10.0.0.0/8", "source"),
        ("source=10.0.0.1&destination=::1", "destination"),
        ("source=10.0.0.1&protocol=ip", "protocol"),
        ("source=10.0.0.1&source_port=65536", "source_port"),
        ("frame=zz", "frame"),
        ("frame=00", "frame"),
    ],
)
def test_explain_names_an_invalid_parameter(api: Api, query: str, field: str) -> None:
    found = problem(api.call("GET", f"/v1/explain?{query}"), 400, "bad-request")
    assert found["field"] == field


def test_the_audit_log_can_be_read_from_either_end(api: Api) -> None:
    for number in range(3):
        api.add(f"10.0.0.{number}")

    def sequences(query: str) -> list[int]:
        return [record["sequence"] for record in get(api, f"/v1/audit{query}")["records"]]

    assert sequences("") == [1, 2, 3, 4]
    assert sequences("?limit=2") == [1, 2]
    assert sequences("?cursor=2&limit=5") == [3, 4]
    assert sequences("?last=true&limit=2") == [3, 4]
    assert sequences("?cursor=99") == []
    first = get(api, "/v1/audit?limit=3")
    assert get(api, f"/v1/audit?limit=3&cursor={first['next']}")["next"] is None
    assert sequences(f"?cursor={first['next']}") == [4]
    newest = get(api, "/v1/audit?last=true&limit=3")
    assert sequences(f"?last=true&cursor={newest['next']}") == [1]
    assert problem(api.call("GET", "/v1/audit?cursor=x"), 400, "bad-request")["field"] == "cursor"
    problem(api.call("GET", "/v1/audit?limit=5001"), 400, "bad-request")


def test_an_audit_record_has_who_did_what_and_when(api: Api) -> None:
    api.add("10.0.0.1", reason="flood", ttl=60)
    record = get(api, "/v1/audit?last=true&limit=1")["records"][0]
    assert (record["actor"], record["action"]) == ("root", "rule.add")
    assert record["subject"] == "10.0.0.1_32"
    assert record["detail"]["reason"] == "flood"
    assert record["at"].startswith("2023-11-14T22:13:20")


def test_an_intact_audit_log_verifies_and_a_changed_one_does_not(api: Api) -> None:
    api.add("10.0.0.1")
    assert "no signed head" in get(api, "/v1/audit/verify")["problem"]
    api.context.audit_head.step(0.0)
    found = get(api, "/v1/audit/verify")
    newest = get(api, "/v1/audit?last=true&limit=1")["records"][0]
    expected = {"records": 2, "problem": None, "last_hash": newest["hash"], "signed_to": 2}
    assert found == expected
    newest["actor"] = "nobody"
    api.store._db.execute(
        "UPDATE audit SET record = ? WHERE sequence = 2", (json.dumps(newest).encode(),)
    )
    assert get(api, "/v1/audit/verify")["problem"] == "record 2 was changed after it was written"


def test_an_internal_error_is_a_problem_document_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(api.datapath, "bypass", broken)
    found = problem(api.call("GET", "/v1/bypass"), 500, "internal")
    assert "ZeroDivisionError" in found["detail"]


@pytest.mark.parametrize("reason", BY_A_RULE)
def test_explain_includes_the_rule_that_decides(api: Api, reason: Reason) -> None:
    slot = api.add("203.0.113.7")["slot"]
    api.datapath.explanation = Explanation(reason, (slot,))
    found = get(api, "/v1/explain?source=203.0.113.7")
    assert (found["reason"], found["rule"]["id"]) == (reason.name.lower(), "203.0.113.7_32")


def test_a_node_that_left_its_fleet_removes_a_module_that_it_shared(api: Api) -> None:
    modules = api.context.fleet_modules
    (api.context.settings.control_dir).mkdir(exist_ok=True)
    modules.set("game", "signed")
    refused = api.call("PUT", "/v1/fleet/modules/game", json={"text": "signed"})
    assert refused.status_code == 404, "it has no fleet"
    assert api.call("DELETE", "/v1/fleet/modules/game").json() == {"name": "game"}
    assert not modules.names()
    assert api.call("DELETE", "/v1/fleet/modules/game").status_code == 404
