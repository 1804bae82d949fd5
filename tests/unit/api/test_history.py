# SPDX-License-Identifier: GPL-2.0-or-later
"""What people changed can be undone, whatever happened since."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.hooked import fastnetmon, say
from xdpctl.errors import DatapathError


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def history(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", "/v1/history").json()["changes"]
    return found


def undo(api: Api, number: int, **query: Any) -> dict[str, Any]:
    answer = api.call("POST", f"/v1/history/{number}/undo", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rules(api: Api) -> dict[str, dict[str, Any]]:
    """Every rule without what time and packets change."""
    found = api.call("GET", "/v1/rules").json()["rules"]
    volatile = ("expires_in", "packets", "bytes", "confirm_in", "expires_at", "slot", "etag")
    return {r["id"]: {k: v for k, v in r.items() if k not in volatile} for r in found}


def mark(api: Api, identity: str, **body: Any) -> dict[str, Any]:
    answer = api.call("PATCH", f"/v1/rules/{identity}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


RULE_ON_MATCH = {"match": {"protocol": "udp", "source_port": "53"}, "ttl": "1h", "reason": "amp"}


def test_every_change_by_a_person_has_a_number_and_is_listed(api: Api) -> None:
    first = api.add("203.0.113.7", reason="flood")
    second = mark(api, first["id"], reason="other")
    third = api.call("DELETE", f"/v1/rules/{first['id']}").json()
    assert [first["change"], second["change"], third["change"]] == [1, 2, 3]
    listed = history(api)
    assert [(c["number"], c["action"], c["actor"]) for c in listed] == [
        (3, "rule.remove", "root"),
        (2, "rule.change", "root"),
        (1, "rule.add", "root"),
    ]
    assert all(c["subject"] == first["id"] and c["records"] == 1 for c in listed)
    one = api.call("GET", "/v1/history/2").json()
    assert one == listed[1]
    older = api.call("GET", "/v1/history", params={"cursor": "3", "limit": 1}).json()
    assert (older["changes"], older["next"]) == ([listed[1]], "2")
    noted = api.call("GET", "/v1/audit").json()["records"]
    assert [r["detail"]["change"] for r in noted if "change" in r["detail"]] == [1, 2, 3]


def test_undoing_each_kind_of_change_restores_the_previous_state(api: Api) -> None:
    api.add("203.0.113.7", reason="old", tags=["a"], ttl="2h")
    api.call("POST", "/v1/rules", json=RULE_ON_MATCH)
    api.put("bad", "192.0.2.0/24\n2001:db8::/32\n")
    before, sets = rules(api), api.call("GET", "/v1/sets").json()
    entries = api.call("GET", "/v1/sets/bad/entries").text
    changes = [
        api.add("198.51.100.0/24")["change"],
        mark(api, "203.0.113.7_32", mode="monitor", reason="new", ttl="10m")["change"],
        api.call("DELETE", "/v1/rules/203.0.113.7_32").json()["change"],
        api.put("bad", "198.51.100.0/25\n", 200, force="true")["change"],
    ]
    on_match = next(i for i in before if i.startswith("m-"))
    changes.append(mark(api, on_match, priority=7)["change"])
    changes.append(api.call("DELETE", f"/v1/rules/{on_match}").json()["change"])
    assert api.call("DELETE", "/v1/sets/bad").status_code == 200
    changes.append(history(api)[0]["number"])
    for number in reversed(changes):
        undone = undo(api, number)
        assert (undone["kept"], undone["reasons"]) == (0, [])
    assert rules(api) == before
    after = api.call("GET", "/v1/sets").json()
    ignored = ("packets", "bytes", "etag", "changed_at", "next_look_at", "report", "slot")
    for held in (*sets["sets"], *after["sets"]):
        for name in ignored:
            held.pop(name, None)
    assert after == sets
    assert api.call("GET", "/v1/sets/bad/entries").text == entries
    assert [c["undoes"] for c in history(api)[: len(changes)]] == changes


def test_an_import_of_several_pieces_is_one_change(api: Api) -> None:
    api.add("192.0.2.1", reason="stays")
    before = rules(api)
    lines = b"".join(b'{"match":{"source":"192.0.2.%d"}}\n' % n for n in range(1, 9))
    answer = api.call(
        "POST",
        "/v1/rules/bulk",
        content=lines,
        headers={"content-type": "application/x-ndjson"},
    ).json()
    assert (answer["added"], answer["extended"]) == (7, 1)
    assert len(rules(api)) == 8
    assert undo(api, answer["change"])["restored"] == 7
    assert rules(api) == before


def test_an_undo_leaves_and_names_what_has_changed_since(api: Api) -> None:
    change = api.add("203.0.113.7")["change"]
    later = mark(api, "203.0.113.7_32", reason="mine")["change"]
    undone = undo(api, change)
    assert (undone["restored"], undone["kept"]) == (0, 1)
    assert undone["reasons"] == [{"subject": "203.0.113.7/32", "why": "it has been changed since"}]
    assert undone["change"] is None
    assert rules(api)["203.0.113.7_32"]["reason"] == "mine"
    assert undo(api, later)["restored"] == 1
    assert undo(api, change)["restored"] == 1
    assert rules(api) == {}


def test_an_undo_can_be_undone(api: Api) -> None:
    change = api.add("203.0.113.7", reason="x")["change"]
    before = rules(api)
    back = undo(api, change)["change"]
    assert rules(api) == {}
    undo(api, back)
    assert rules(api) == before


def test_a_dry_run_changes_nothing(api: Api) -> None:
    change = api.add("203.0.113.7")["change"]
    before, listed = rules(api), history(api)
    undone = undo(api, change, dry_run="true")
    assert (undone["restored"], undone["dry_run"], undone["change"]) == (1, True, None)
    assert (rules(api), history(api)) == (before, listed)


def test_an_undo_does_not_restore_expired_rules(api: Api) -> None:
    change = api.add("203.0.113.7", ttl="60s")["change"]
    gone = api.call("DELETE", "/v1/rules/203.0.113.7_32").json()["change"]
    api.clock.advance(61)
    assert undo(api, gone)["reasons"] == [{"subject": "203.0.113.7/32", "why": "its time is up"}]
    assert undo(api, change) | {"change": 0} == {
        "restored": 0,
        "kept": 0,
        "reasons": [],
        "dry_run": False,
        "change": 0,
    }


def test_an_undo_that_would_lock_the_caller_out_is_refused(api: Api) -> None:
    accept = api.add("127.0.0.1", action="accept")["change"]
    token = api.token("remote", "operator")
    answer = api.call(
        "POST",
        "/v1/rules",
        ("127.0.0.1", 5),
        token,
        json={"match": {"source": "127.0.0.0/8"}},
    )
    assert answer.status_code == 201, answer.text
    answer = api.call("POST", f"/v1/history/{accept}/undo", ("127.0.0.1", 5), token)
    assert problem(answer, 409, "lockout")["field"] == "id"
    assert len(rules(api)) == 2


def test_an_unknown_change_is_404(api: Api) -> None:
    for number in ("1", "0", "-3", str(2**63), str(2**70)):
        problem(api.call("POST", f"/v1/history/{number}/undo"), 404, "not-found")
    problem(api.call("GET", "/v1/history/1"), 404, "not-found")


def test_the_mode_of_automatic_mitigation_can_be_undone(api: Api) -> None:
    api.call("PUT", "/v1/automatic", json={"mode": "off"})
    undo(api, history(api)[0]["number"])
    assert api.call("GET", "/v1/automatic").json()["mode"] is None


def test_rules_of_detectors_are_not_in_the_history(box: Api) -> None:
    say(box, "fastnetmon", fastnetmon("ban"))
    assert rules(box)
    assert history(box) == []
    answer = box.call("POST", "/v1/automatic/undo", json={"since": "1h"}).json()
    assert answer["removed"]
    assert rules(box) == {}
    undo(box, answer["change"])
    assert rules(box)


def test_changes_survive_a_restart_and_the_oldest_are_dropped(api: Api) -> None:
    numbers = [api.add(f"203.0.113.{n}")["change"] for n in range(5)]
    assert api.store.trim_changes(3, 1 << 20) == 2
    assert [c["number"] for c in history(api)] == numbers[:1:-1]
    problem(api.call("POST", f"/v1/history/{numbers[0]}/undo"), 404, "not-found")
    assert api.store.trim_changes(3, 1) == 2
    assert api.store.last_change() == numbers[-1]


def test_a_change_that_the_kernel_refuses_is_not_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        real, calls = api.datapath.apply, []

        def apply(plan: Any) -> None:
            calls.append(plan)
            if len(calls) == 1:
                raise DatapathError("the kernel refuses: fake")
            real(plan)

        patched.setattr(api.datapath, "apply", apply)
        assert api.call(
            "POST", "/v1/rules", json={"match": {"source": "203.0.113.7"}}
        ).status_code in (500, 503)
    assert history(api) == []
