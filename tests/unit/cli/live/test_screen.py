# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view, driven without a terminal: what it shows, asks for and does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from xdpctl.base.text import printable
from xdpctl.cli.live.looks import TABS, Tab, View, graph, tab
from xdpctl.cli.live.screen import TopApp
from xdpctl.cli.live.top import _DEFAULT_BY, first_view
from xdpctl.errors import Refused, Unreachable

MATCH = "dst 198.51.100.7 proto udp src-port 53"
RULE = {"id": "m-1", "action": "drop", "does": "drop", "text": MATCH, "words": "UDP from port 53",
        "confirm_in": 60.0, "change": 7}  # fmt: skip


class Box:
    """Answers like the control plane, and remembers the changes that it was asked for."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.down = False
        self.answers: dict[str, Any] = {}
        self.refusal: dict[str, Any] | None = None
        self.values = ["198.51.100.7", "198.51.100.8"]
        self.match: str | None = MATCH
        self.bypass = False
        self.problems: list[str] = []
        self.expected: list[str] = []
        self.unusual: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.detector = {"mode": "drop", "runs": True}

    def call(self, method: str, path: str, *, params: Any = None, json: Any = None) -> Any:
        if self.down:
            raise Unreachable("the connection to /run/xdpctl/api.sock failed")
        if method != "GET":
            self.changes.append((method, path, json))
            if self.refusal:
                raise Refused(self.refusal)
            return self.answers.get(path, RULE)
        ask = getattr(self, path.removeprefix("/v1/"))
        return ask() if params is None else ask(params)

    def status(self) -> dict[str, Any]:
        tables = [{"name": "rules", "used": 1_200}, {"name": "matches", "used": 34}]
        return {
            **{"bypass": self.bypass, "problems": self.problems, "tables": tables},
            "expected": self.expected,
        }

    def condition(self) -> dict[str, Any]:
        told = {"state": "holding", "reasons": ["41 newcomers a minute get in, usually 44"]}
        return told | {"waiting": self.waiting, "matches": self.unusual}

    def detect(self) -> dict[str, Any]:
        return self.detector

    def automatic(self) -> dict[str, Any]:
        return {"mode": None, "configured": "on"}

    def series(self, params: dict[str, Any]) -> dict[str, Any]:
        names = params["names"].split(",")
        return {"figures": {name: {"averages": [0.0, None, 5_000.0]} for name in names}}

    def top(self, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        rows = [
            {"value": value, "packets": 9e3 / (n + 1), "bits": 1e6 * (n + 1), "share": 0.5,
             "error": 0.01, "match": self.match}
            for n, value in enumerate(self.values)
        ]  # fmt: skip
        return {"dimensions": [{"by": params["by"], "without": 0.0, "rows": rows}]}

    def rules(self, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        rule = RULE | {"mode": "enforce", "rate": 1_234.5, "packets": 9_000, "reason": "a\x1b[0m"}
        return {"rules": [rule | {"expires_in": 90.0}, rule | {"id": "x", "confirm_in": None,
                "expires_in": None, "mode": "monitor"}]}  # fmt: skip

    def incidents(self, params: dict[str, Any]) -> dict[str, Any]:
        brief = {"id": "20261126-081900", "subject": "198.51.100.7/32", "named": "198.51.100.7",
                 "open": True, "opened_at": "2023-11-14T22:13:20Z",
                 "attacks": ["udp_flood"]}  # fmt: skip
        return {"incidents": [brief]}


class Driven:
    """The running view, and the texts on it."""

    def __init__(self, app: TopApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    def text(self, name: str) -> str:
        return str(self.app.query_one(f"#{name}", Static).render())

    def cells(self) -> list[list[str]]:
        table = self.app.query_one(DataTable)
        return [[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        self.app.screen.query_one(Input).value = text
        await self.press("enter")

    async def settle(self) -> None:
        for _ in range(3):
            await self.app.workers.wait_for_complete()
            await self.pilot.pause()


Steps = Callable[[Driven], Awaitable[None]]


@pytest.fixture
def box() -> Box:
    return Box()


HOSTS = tab("destination")


def drive(box: Box, steps: Steps, size: tuple[int, int] = (80, 24), first: Tab = HOSTS) -> None:
    async def run() -> None:
        app = TopApp(box, 3600.0, View(first))
        async with app.run_test(size=size) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            await steps(driven)

    asyncio.run(run())


def test_the_screen_shows_state_rates_and_rows(box: Box) -> None:
    async def steps(top: Driven) -> None:
        word, filtering = top.text("state").split("\n")
        assert word == "holding: 41 newcomers a minute get in, usually 44"
        assert filtering == "filtering · detectors on · 1,234 rules"
        assert top.app.query_one("#state").size.height >= 2, "both lines are visible"
        assert "5 k packets/s" in top.text("rates")
        assert top.cells()[0] == ["198.51.100.7", "      9 k", "  1 M", "50.0% ±1.0", MATCH]
        assert "verdict all · by packets" in top.text("view")

    drive(box, steps)


def test_keys_change_tab_verdict_order_and_filter(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("7")
        assert box.asked[-1]["by"] == "source_port"
        await top.press("v")
        assert box.asked[-1]["verdict"] == "pass"
        await top.press("s")
        assert [row[0] for row in top.cells()] == ["198.51.100.8", "198.51.100.7"]
        await top.press("slash")
        await top.type("udp")
        assert box.asked[-1]["where"] == "proto udp"
        await top.press("2")
        assert (box.asked[-1]["sort"], top.cells()[0][:5]) == (
            *("rate", ["drop", "   1.23 k", " 9 k", "1m?", "UDP from port 53"]),
        )
        assert "\x1b" not in top.cells()[0][5]
        assert top.cells()[1][:4] == ["drop, only counts", "   1.23 k", " 9 k", "never"]
        await top.press("3")
        assert top.cells() == [
            ["198.51.100.7", "open", "2023-11-14 22:13:20", "UDP flood", "20261126-081900"]
        ]

    drive(box, steps)


def test_a_block_is_a_trial_by_default_and_can_be_confirmed(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("b")
        await top.press("enter")
        body = box.changes[-1][2]
        assert (body["match"], body["action"], body["confirm_within"]) == (MATCH, "drop", "60s")
        assert "unless confirmed" in top.text("said")
        assert "undo: xdpctl undo 7" in top.text("said")
        await top.press("c")
        assert box.changes[-1][:2] == ("POST", "/v1/rules/m-1/confirm")
        await top.press("b")
        await top.type("")
        assert "nothing was changed" in top.text("said")
        await top.press("b")
        await top.type("forever")
        assert "confirm_within" not in box.changes[-1][2]

    drive(box, steps)


def test_escape_changes_nothing(box: Box) -> None:
    async def steps(top: Driven) -> None:
        for key in ("b", "l", "B"):
            await top.press(key)
            await top.press("escape")
        await top.press("w")
        await top.press("x")
        assert box.changes == []

    drive(box, steps)


def test_a_limit_needs_a_rate(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("l")
        await top.type("many")
        assert "nothing was changed" in top.text("said")
        assert box.changes == []
        await top.press("l")
        await top.type("5k")
        body = box.changes[-1][2]
        assert (body["action"], body["limit"]["pps"]) == ("limit", 5_000)
        assert body["confirm_within"] == "60s"

    drive(box, steps)


def test_only_a_single_source_is_released(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("r")
        assert "choose a single source" in top.text("said")
        await top.press("5")
        await top.press("r")
        await top.press("enter")
        assert box.changes[-1][1] == "/v1/releases"
        assert box.changes[-1][2]["source"] == "198.51.100.7"

    drive(box, steps)


def test_an_incident_is_allowed_only_if_that_is_typed(box: Box) -> None:
    path = "/v1/incidents/20261126-081900/allow"
    expected = [{"text": "up to 900 packets/s of syn", "name": "incident-syn"}]
    box.answers[path] = {"removed": ["m-1"], "expected": expected}

    async def steps(top: Driven) -> None:
        await top.press("a")
        assert "choose an incident" in top.text("said")
        await top.press("3")
        for typed in ("yes", "allow"):
            assert box.changes == []
            await top.press("a")
            await top.type(typed)
        assert box.changes == [("POST", path, None)]
        said = top.text("said")
        assert "removed: m-1; expected from now on: up to 900 packets/s of syn; take it" in said
        assert "xdpctl expect remove incident-syn" in said

    drive(box, steps)


def test_the_screen_shows_what_is_expected_now(box: Box) -> None:
    box.expected = ["up to 5 times the threshold to all that is protected"]

    async def steps(top: Driven) -> None:
        assert top.text("state").endswith("more is expected now")

    drive(box, steps)


def test_bypass_needs_to_be_typed(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("B")
        await top.type("yes")
        assert box.changes == []
        assert "nothing was changed" in top.text("said")
        await top.press("B")
        await top.type("bypass")
        assert box.changes[-1] == ("POST", "/v1/bypass", {"on": True})
        box.bypass = True
        await top.press("v")
        assert "\nBYPASS: everything passes" in top.text("state")
        assert top.app.query_one("#state").has_class("trouble")
        await top.press("B")
        await top.type("filter")
        assert box.changes[-1] == ("POST", "/v1/bypass", {"on": False})

    drive(box, steps)


def test_the_help_lists_every_key(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("question_mark")
        told = str(top.app.screen.query_one(Static).render())
        shown = {binding.key_display or binding.key for binding in TopApp.BINDINGS
                 if isinstance(binding, Binding) and binding.show}  # fmt: skip
        assert all(f"{key}  " in told for key in shown - {"?"})
        assert "3 Incidents" in told

    drive(box, steps)


def test_a_key_switches_automatic_off_after_a_question(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("o")
        await top.press("enter")
        assert box.changes[-1] == ("PUT", "/v1/automatic", {"mode": "off"})

    drive(box, steps)


def test_a_refusal_is_shown_with_its_fix_and_as_text(box: Box) -> None:
    box.refusal = {"detail": "viewers may not [bold]do[/bold] this\x1b[31m", "fix": "ask an admin"}

    async def steps(top: Driven) -> None:
        await top.press("b")
        await top.press("enter")
        said = top.text("said")
        assert "[bold]do[/bold]" in said
        assert "ask an admin" in said
        assert "\x1b" not in said

    drive(box, steps)


def test_a_lost_control_plane_is_reported_and_the_rows_stay(box: Box) -> None:
    async def steps(top: Driven) -> None:
        box.down = True
        await top.press("v")
        assert "not live" in top.text("state")
        assert "the filter works without this view" in top.text("state")
        box.down = False
        await top.press("v")
        assert top.text("state").startswith("holding: 41 newcomers")

    drive(box, steps)


def test_an_invalid_filter_changes_nothing(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("slash")
        await top.type("bogus")
        assert "the filter stays as it was" in top.text("said")
        assert "where" not in box.asked[-1]
        assert len(top.cells()) == 2

    drive(box, steps)


def test_rows_of_another_tab_cannot_be_acted_on(box: Box) -> None:
    async def steps(top: Driven) -> None:
        box.down = True
        await top.press("5")
        assert top.cells() == []
        await top.press("b")
        assert "no match" in top.text("said")

    drive(box, steps)


def test_two_rows_with_one_name_are_both_shown(box: Box) -> None:
    box.values = ["none", "none"]

    async def steps(top: Driven) -> None:
        assert [row[0] for row in top.cells()] == ["none", "none"]

    drive(box, steps)


def test_the_cursor_stays_on_its_row(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("down")
        box.values = ["203.0.113.1", "203.0.113.2", "198.51.100.8"]
        top.app._refresh()
        await top.settle()
        assert top.app.selected()
        await top.press("w")
        assert "198.51.100.8" in str(top.app.screen.query_one(Static).render())

    drive(box, steps)


def test_a_row_without_a_match_cannot_be_blocked(box: Box) -> None:
    box.match = None

    async def steps(top: Driven) -> None:
        await top.press("b")
        assert "has no match" in top.text("said")

    drive(box, steps)


@pytest.mark.parametrize("value", ["[red]x[/red]", "[@click=app.quit]x[/]", "\x1b[2J", "a\nb"])
def test_foreign_names_are_shown_as_plain_text(box: Box, value: str) -> None:
    box.values = [value]

    async def steps(top: Driven) -> None:
        assert top.cells()[0][0] == printable(value)
        await top.press("w")
        assert printable(value) in str(top.app.screen.query_one(Static).render())

    drive(box, steps)


def test_a_graph_has_gaps_where_nothing_is_known() -> None:
    assert graph([0.0, 0.0, None, None, 10.0, 5.0], 10) == "▁ █"
    assert graph([], 10) == ""
    assert graph([0.0] * 4, 10) == "▁▁"
    assert len(graph([1.0] * 500, 30)) == 30


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (200, 60)])
def test_the_screen_works_at_any_size(box: Box, size: tuple[int, int]) -> None:
    async def steps(top: Driven) -> None:
        assert len(top.cells()) == 2

    drive(box, steps, size)


FOUND = {
    "match": "dst 198.51.100.7 proto tcp flags syn", "words": "plain SYN to web (198.51.100.7)",
    "packets": 24_800.0, "share": 0.81, "before": None, "action": "challenge", "does": "challenge",
    "limit": None,
}  # fmt: skip


def test_the_first_tab_has_what_is_unusual_and_enter_does_what_is_proposed(box: Box) -> None:
    limit = {"action": "limit", "limit": {"pps": 2_000.0}, "before": 0.01, "match": MATCH}
    limit |= {"does": "limit to 2,000 pps"}
    box.unusual = [
        FOUND,
        FOUND | limit,
        FOUND | {"match": "icmp", "action": "drop", "does": "drop", "before": 0.0},
    ]

    async def steps(top: Driven) -> None:
        assert [row[-1] for row in top.cells()] == ["challenge", "limit to 2,000 pps", "drop"]
        row = [cell.strip() for cell in top.cells()[0]]
        assert row[:4] == [FOUND["words"], "24.8 k", "81.0%", "not known"]
        sent = []
        for typed in ("", "", ""):
            await top.press("enter")
            await (top.type(typed) if typed else top.press("enter"))
            sent.append(box.changes[-1][2])
            await top.press("down")
        assert [each["action"] for each in sent] == ["challenge", "limit", "drop"]
        assert [each["match"] for each in sent] == [FOUND["match"], MATCH, "icmp"]
        assert sent[1]["limit"]["pps"] == 2_000
        assert {each["confirm_within"] for each in sent} == {"60s"}

    drive(box, steps, first=TABS[0])


@pytest.mark.parametrize(
    ("proposed", "sent"),
    [("limit", {"mode": "enforce"}), ("drop", {"mode": "enforce", "action": "drop"})],
)
def test_a_rule_that_only_counts_comes_first_and_enter_enforces_it(
    box: Box, proposed: str, sent: dict[str, str]
) -> None:
    people = "0 of 900 packets belong to known flows"
    what = {"proposed": proposed, "proposal": f"{proposed} it", "people": people}
    box.waiting, box.unusual = [RULE | what | {"rate": 6_000.0, "action": "limit"}], [FOUND]

    async def steps(top: Driven) -> None:
        row = [cell.strip() for cell in top.cells()[0]]
        assert row == ["UDP from port 53", "6 k", "", people, f"enforce: {proposed} it"]
        await top.press("enter")
        assert "It takes 6 k packets/s." in str(top.app.screen.query_one(Static).render())
        await top.type("no")
        assert box.changes == []
        await top.press("enter", "enter")
        assert box.changes == [("PATCH", "/v1/rules/m-1", sent)]
        await top.press("b", "enter")
        assert box.changes[-1][2]["match"] == MATCH

    drive(box, steps, first=TABS[0])


def test_enter_changes_no_rule_that_is_enforced(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("2")
        await top.press("enter", "enter")
        assert box.changes == []
        await top.press("down", "enter")  # the second one only counts
        await top.press("enter")
        assert box.changes[-1][:2] == ("PATCH", "/v1/rules/x")

    drive(box, steps)


def test_an_empty_first_tab_says_that_nothing_waits(box: Box) -> None:
    async def steps(top: Driven) -> None:
        assert "no rule of a detector waits" in top.text("view")
        box.unusual = [FOUND]
        top.app._refresh()
        await top.settle()
        assert "no rule of a detector waits" not in top.text("view")

    drive(box, steps, first=TABS[0])


def test_the_cursor_stays_on_its_row_when_rows_move(box: Box) -> None:
    async def steps(top: Driven) -> None:
        await top.press("down")
        before = top.app.selected()
        assert before
        assert before.key == "198.51.100.8"
        box.values = ["203.0.113.1", "198.51.100.8", "203.0.113.2", "198.51.100.7"]
        top.app._refresh()
        await top.settle()
        box.values = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.8"]
        top.app._refresh()
        await top.settle()
        after = top.app.selected()
        assert after
        assert after.key == before.key

    drive(box, steps)


@pytest.mark.parametrize(
    ("detector", "says"),
    [
        ({"mode": "off", "runs": False}, "detectors on · detector off"),
        ({"mode": "drop", "runs": False}, "detectors on · detector does not report"),
    ],
)
def test_a_detector_that_does_not_work_is_named(
    box: Box, detector: dict[str, Any], says: str
) -> None:
    box.detector = detector

    async def steps(top: Driven) -> None:
        assert says in top.text("state")

    drive(box, steps)


def test_a_view_begins_with_what_is_unusual_unless_something_was_asked_for() -> None:
    assert first_view(_DEFAULT_BY, "all", "", "10s").tab.name == "Unusual"
    assert first_view("source-port,destination", "all", "", "10s").tab.name == "From port"
    assert first_view(_DEFAULT_BY, "drop", "", "10s").tab.name == "Hosts"
    assert first_view(_DEFAULT_BY, "all", "proto udp", "10s").tab.name == "Hosts"
