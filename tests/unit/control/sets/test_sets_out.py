# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of what goes out: what they may be, what the kernel gets, and whom they may not cut off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.fakes import ROOT, FakeClock, controller, upkeep
from tests.support.setcalls import HIGH, Recorder, change, put, refused, remove, texts, wanted
from tests.support.spaces import entries
from tests.unit.control.sets.test_sets_restart import repairs
from tests.unit.control.test_coverage import draft, rule
from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.guards import lockout
from xdpctl.control.state.coverage import covering
from xdpctl.errors import ConflictError, RuleError, XdpctlError
from xdpctl.fleet.agent import records
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.source_set import FeedSource, SourceSet

OUT = SourceSet(name="c2", slot=HIGH, out=True)
HOST = parse_prefix("203.0.113.7")


@pytest.fixture
def datapath() -> Recorder:
    return Recorder()


@pytest.fixture
def control(tmp_path: Path, datapath: Recorder, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def word(datapath: Recorder, slot: int = HIGH) -> Slot:
    return Slot.unpack(datapath.source.words[slot].tobytes())


def test_the_kernel_asks_about_what_goes_out_while_there_is_such_a_set(
    control: Controller, datapath: Recorder
) -> None:
    put(control, wanted("bad", "45.0.0.0/24"))
    assert not datapath.control["outgoing"]
    slot = put(control, wanted("c2", "45.0.1.0/24", out=True)).set.slot
    assert word(datapath, slot).action is WireAction.OUT
    assert datapath.control["outgoing"]
    change(control, "c2", mode=Mode.MONITOR)
    assert word(datapath, slot).mode.name == "MONITOR"
    assert datapath.control["outgoing"]
    remove(control, "c2")
    assert not datapath.control["outgoing"]


def test_a_restart_finds_such_a_set_in_the_kernel(
    tmp_path: Path, datapath: Recorder, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        put(control, wanted("c2", "45.0.1.0/24", out=True))
    datapath.control["outgoing"] = 0
    with controller(tmp_path, datapath, clock) as control:
        assert control.state.sets["c2"].out
        assert datapath.control["outgoing"]
    for file in tmp_path.glob("rules.sqlite*"):
        file.unlink()
    with controller(tmp_path, datapath, clock) as control:
        (recovered,) = control.state.sets.values()
        assert (recovered.out, recovered.action) == (True, Action.DROP)
        assert word(datapath).action is WireAction.OUT


def test_the_kernels_word_is_repaired_if_another_program_changes_it(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("c2", "45.0.1.0/24", out=True))
    datapath.control["outgoing"] = 0
    upkeep(control, clock, steps=200)
    assert datapath.control["outgoing"]
    (repaired,) = repairs(control)
    assert repaired["first"] == ["the word that says whether there is an out set"]


def test_a_set_that_the_fleet_put_again_in_the_other_direction_replaces_this_nodes(
    control: Controller,
) -> None:
    put(control, wanted("c2", "45.0.1.0/24"))
    listed = entries("45.0.2.0/24")
    control.submit(lambda draft: records.put_set(draft, OUT, listed, True, ROOT)).result()
    assert control.state.sets["c2"].out
    assert texts(control, "c2") == ["45.0.2.0/24"]


def test_a_new_list_keeps_the_direction_and_a_feed_spares_nobody(control: Controller) -> None:
    feed = FeedSource(url="https://lists.example/c2")
    made = put(control, wanted("c2", "45.0.1.0/24", out=True, feed=feed)).set
    assert (made.out, made.spare) == (True, Spare.NONE)
    again = put(control, wanted("c2", "45.0.2.0/24", action=None, mode=None)).set
    assert (again.out, again.slot) == (True, made.slot)


@pytest.mark.parametrize(
    ("says", "error", "more"),
    [
        ("cannot accept", RuleError, {"name": "new", "action": "accept"}),
        ("spares nobody", RuleError, {"name": "new", "spare": Spare.KNOWN}),
        ("about what comes in", ConflictError, {"name": "bad"}),
    ],
)
def test_what_such_a_set_cannot_be_is_refused(
    control: Controller, says: str, error: type[XdpctlError], more: dict[str, object]
) -> None:
    put(control, wanted("bad", "45.0.0.0/24"))
    name = str(more.pop("name"))
    ask = wanted(name, "45.0.1.0/24", **{"out": True, **more})  # type: ignore[arg-type]
    refused(control, error, says, lambda: put(control, ask))


def test_a_set_of_what_goes_out_does_not_become_another(control: Controller) -> None:
    put(control, wanted("c2", "45.0.1.0/24", out=True))
    ask = wanted("c2", "45.0.1.0/24", out=False)
    refused(control, ConflictError, "about what goes out", lambda: put(control, ask))
    refused(
        control, RuleError, "spares nobody", lambda: change(control, "c2", spare=Spare.ESTABLISHED)
    )


def test_each_direction_has_its_own_entries_and_both_have_what_accepts() -> None:
    drops = SourceSet(name="drops", slot=65)
    accepts = SourceSet(name="accepts", slot=2, action=Action.ACCEPT)
    listed = entries("203.0.113.0/24")
    sets = tuple((each, listed) for each in (accepts, drops, OUT))
    held = draft(rule("203.0.112.0/20"), sets=sets, protected=("203.0.0.0/16",))
    comes, goes = ([str(e) for e in covering(held, HOST, out)] for out in (False, True))
    of = "203.0.113.0/24 of the set"
    assert comes == [f"{of} accepts", f"{of} drops", "203.0.112.0/20", "203.0.0.0/16"]
    assert goes == [f"{of} accepts", f"{of} c2", "203.0.0.0/16"]


@pytest.mark.parametrize("accept", [None, "203.0.113.7", "203.0.0.0/16"])
def test_a_reply_that_does_not_go_out_cuts_off(accept: str | None) -> None:
    rules = [rule(accept, "accept")] if accept else []
    held = draft(*rules, sets=((OUT, entries("203.0.113.0/24")),))
    cut = lockout.cuts_of(held, HOST, lockout.SSH, tried=False)
    if accept == "203.0.113.7":
        assert cut == []
    else:
        (only,) = cut
        assert str(only.cause) == "203.0.113.0/24 of the set c2"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def test_who_is_connected_cannot_list_his_own_address(api: Api) -> None:
    token = api.token("hands", "operator")
    body = {"prefixes": ["127.0.0.1"], "out": True, "allow_private": True}
    found = problem(api.call("PUT", "/v1/sets/c2", TCP, token, json=body), 409, "lockout")
    assert "127.0.0.1" in found["detail"]
    monitored = api.call("PUT", "/v1/sets/c2", TCP, token, json={**body, "mode": "monitor"})
    assert monitored.status_code == 201
    assert problem(
        api.call("PATCH", "/v1/sets/c2", TCP, token, json={"mode": "enforce"}), 409, "lockout"
    )


def test_the_answer_has_the_direction_and_has_its_senders(api: Api) -> None:
    made = api.call("PUT", "/v1/sets/c2?out=true", content=b"45.0.0.7\n").json()
    assert made["out"] is True
    (warning,) = made["warnings"]
    assert "none is outside" in warning
    assert api.call("GET", "/v1/sets/c2").json()["senders"] == []
    api.put("bad", b"45.0.0.7\n")
    assert api.call("GET", "/v1/sets/bad").json()["senders"] is None
    assert problem(api.call("GET", "/v1/sets/c2/top"), 400, "bad-request")["field"] == "name"


def test_why_says_what_is_sent_to_an_address(api: Api) -> None:
    api.put("bad", b"45.0.0.0/24\n")
    api.call("PUT", "/v1/sets/c2?out=true", content=b"45.0.0.7\n")
    found = api.call("GET", "/v1/why/45.0.0.7").json()
    assert "What is sent to 45.0.0.7 is dropped by the set c2." in found["sentence"]
    assert [(each["set"], each["out"]) for each in found["covering"]] == [
        ("bad", False),
        ("c2", True),
    ]
    other = api.call("GET", "/v1/why/45.0.0.8").json()
    assert "What is sent" not in other["sentence"]


def test_the_history_has_the_direction(api: Api) -> None:
    api.call("PUT", "/v1/sets/c2?out=true", content=b"45.0.0.7\n")
    api.call("DELETE", "/v1/sets/c2")
    records = api.call("GET", "/v1/audit?action=set.").json()["records"]
    assert [record["detail"]["out"] for record in records] == [True, True]


def test_a_removed_set_comes_back_with_its_direction(api: Api) -> None:
    api.call("PUT", "/v1/sets/c2?out=true", content=b"45.0.0.7\n")
    api.call("DELETE", "/v1/sets/c2")
    newest = api.call("GET", "/v1/history").json()["changes"][0]["number"]
    assert api.call("POST", f"/v1/history/{newest}/undo").status_code == 200
    assert api.call("GET", "/v1/sets/c2").json()["out"] is True
