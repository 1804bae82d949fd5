# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view itself: a header, tabs, a table, and keys that act on the selected row."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static, Tabs
from textual.widgets import Tab as TabLabel
from textual.worker import Worker, get_current_worker

from xdpctl.cli import words
from xdpctl.cli.live import looks
from xdpctl.cli.live.dialogs import Details, Question
from xdpctl.cli.live.looks import TABS, Caller, Line, Look, View
from xdpctl.errors import Refused, RuleError, XdpctlError
from xdpctl.model.signature import read_amount

_KEYS = (
    ("b", "drop the packets that the row's match takes, at first for a trial"),
    ("l", "limit them to a number of packets a second"),
    ("c", "keep the rule that was added last"),
    ("r", "let the source of the row pass (tab Sources)"),
    ("w", "all of the row"),
    ("/", "look only at packets of a match"),
    ("v", "all packets, those that pass, those that are dropped"),
    ("s", "order by packets or by bits"),
    ("f", "freeze detectors, or let them act again"),
    ("B", "bypass: let everything pass, or filter again"),
    ("q", "end this view; rules stay"),
)
_TRIAL = "60s"
_RELEASE = "1h"
_CALM = "the filter works without this view"


class TopApp(App[None]):
    """Looks every `delay` seconds; a look that takes longer is not overtaken."""

    TITLE = "xdpctl top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state { height: 1; text-style: bold; }
    #state.trouble { background: $error; color: $text; }
    #rates { height: 2; }
    #view { height: 1; color: $text-muted; }
    #said { height: auto; max-height: 4; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "block", "Block"),
        Binding("l", "limit", "Limit"),
        Binding("r", "release", "Release"),
        Binding("c", "confirm", "Confirm"),
        Binding("w", "why", "Why"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("v", "verdict", "Verdict"),
        Binding("s", "sort", "Sort", show=False),
        Binding("f", "freeze", "Freeze"),
        Binding("B", "bypass", "Bypass"),
        Binding("question_mark", "help", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        *(
            Binding(str((place + 1) % 10), f"tab({place})", tab.name, show=False)
            for place, tab in enumerate(TABS)
        ),
    ]

    def __init__(self, client: Caller, delay: float, view: View) -> None:
        super().__init__()
        self._client, self._delay, self._view = client, delay, view
        self._look: Look | None = None
        self._last_rule = ""  # the last provisional one that was added here

    def compose(self) -> ComposeResult:
        """The parts, from top to bottom."""
        yield Static(id="state")
        yield Static(id="rates")
        yield Tabs(*(TabLabel(tab.name, id=f"tab-{place}") for place, tab in enumerate(TABS)))
        yield Static(id="view")
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield Static(id="said")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Look at once, and then again and again."""
        table = self.query_one(DataTable)
        table.focus()
        self._show_view()
        self.set_interval(self._delay, self._refresh)
        self._refresh()
        for number in (signal.SIGTERM, signal.SIGHUP):  # the terminal will be as it was before
            asyncio.get_running_loop().add_signal_handler(number, self.exit)

    # looking

    def _refresh(self) -> None:
        if not any(worker.group == "look" and worker.is_running for worker in self.workers):
            self.run_worker(self._ask, thread=True, group="look", exit_on_error=False)

    def _ask(self) -> None:
        view, worker = self._view, get_current_worker()
        try:
            found = looks.look(self._client, view)
        except XdpctlError as error:
            self._from_thread(worker, self._trouble, str(error))
        else:
            self._from_thread(worker, self._show, found, view)

    def _from_thread(self, worker: Worker[Any], call: Callable[..., None], *given: Any) -> None:
        if not worker.is_cancelled and self.is_running:
            self.call_from_thread(call, *given)

    def _trouble(self, text: str) -> None:
        state = self.query_one("#state", Static)
        state.set_class(True, "trouble")
        state.update(Text(f"not live: {looks.printable(text)}; {_CALM}"))

    def _show(self, found: Look, view: View) -> None:
        if view != self._view:
            return  # of another tab or filter than is wanted now
        self._look = found
        state = self.query_one("#state", Static)
        problems = "; ".join(map(looks.printable, found.problems))
        state.set_class(bool(problems) or found.state.startswith("BYPASS"), "trouble")
        state.update(Text(found.state + (f" · {problems}" if problems else "")))
        self.query_one("#rates", Static).update(Text("\n".join(found.rates)))
        self._fill(found)

    def _fill(self, found: Look) -> None:
        table = self.query_one(DataTable)
        selected = self._selected()
        names = tuple(column.label.plain for column in table.columns.values())
        wanted = tuple(name.lstrip(">") for name in found.columns)
        table.clear(columns=names != wanted)
        if names != wanted:
            table.add_columns(*map(Text, wanted))
        for line in looks.aligned(found):
            table.add_row(*map(Text, line.cells), key=line.key)
        if selected and any(line.key == selected.key for line in found.lines):
            table.move_cursor(row=table.get_row_index(selected.key))

    def _selected(self) -> Line | None:
        """The line under the cursor."""
        table = self.query_one(DataTable)
        if not table.row_count or self._look is None:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return next((line for line in self._look.lines if line.key == key), None)

    def _show_view(self) -> None:
        view = self._view
        parts = [f"verdict {view.verdict}", f"by {view.sort}", f"last {view.window}"]
        parts += [f"where {view.where}"] if view.where else []
        self.query_one("#view", Static).update(Text(" · ".join(parts)))

    def _change(self, view: View) -> None:
        self._view = view
        self._show_view()
        self._refresh()

    def say(self, text: str) -> None:
        """Show a sentence below the table."""
        self.query_one("#said", Static).update(Text(looks.printable(text)))

    # what is looked at

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """Another tab was chosen."""
        place = int((event.tab.id or "tab-0").removeprefix("tab-"))
        self._change(replace(self._view, tab=TABS[place]))

    def action_tab(self, place: int) -> None:
        """Choose a tab by its number."""
        self.query_one(Tabs).active = f"tab-{place}"

    def action_verdict(self) -> None:
        """All packets, those that pass, those that are dropped."""
        self._change(self._view.next_verdict())

    def action_sort(self) -> None:
        """By packets, or by bits."""
        self._change(self._view.next_sort())

    def action_filter(self) -> None:
        """Only packets of a match."""
        lines = ["Only packets that match (empty: all), for example dst 198.51.100.7 udp"]

        def take(text: str | None) -> None:
            if text is not None:
                self._change(replace(self._view, where=text))

        self.push_screen(Question(lines, self._view.where), take)

    # what is done

    def _do(self, method: str, path: str, told: Callable[[Any], str], **body: Any) -> None:
        """Call the API in a thread, and say what was done or why not."""

        def call() -> None:
            worker = get_current_worker()
            try:
                text = told(self._client.call(method, path, **body))
            except Refused as error:
                fix = error.problem.get("fix", "")
                text = words.spoken(f"not done: {error}" + (f" ({fix})" if fix else ""))
            except XdpctlError as error:
                text = f"not done: {error}"
            self._from_thread(worker, self.say, text)

        self.run_worker(call, thread=True, group="act", exit_on_error=False)

    def _added(self, rule: Any) -> str:
        self._last_rule = rule["id"] if rule["confirm_in"] is not None else ""
        return looks.done(rule)

    def _with_match(self) -> Line | None:
        line = self._selected()
        if line is None or not line.match:
            self.say("this row has no match: choose a destination, a source or a port")
            return None
        return line

    def action_block(self) -> None:
        """Drop the packets of the row."""
        if line := self._with_match():
            lines = [
                f"Drop all packets that match: {looks.printable(line.match)}",
                f"It ends after {_TRIAL} unless you confirm it. Empty: no trial.",
            ]

            def take(trial: str | None) -> None:
                if trial is not None:
                    body = looks.block(line, trial or None)
                    self._do("POST", "/v1/rules", self._added, json=body)

            self.push_screen(Question(lines, _TRIAL), take)

    def action_limit(self) -> None:
        """Limit the packets of the row."""
        if line := self._with_match():
            lines = [
                f"Limit packets that match: {looks.printable(line.match)}",
                f"To how many packets a second? It ends after {_TRIAL} unless you confirm it.",
            ]

            def take(given: str | None) -> None:
                if given is None:
                    return
                try:
                    body = looks.limit(line, read_amount(given, "pps"), _TRIAL)
                except RuleError as error:
                    self.say(f"not done: {error}")
                else:
                    self._do("POST", "/v1/rules", self._added, json=body)

            self.push_screen(Question(lines, "1000"), take)

    def action_confirm(self) -> None:
        """Keep the rule that was added last."""
        if not self._last_rule:
            self.say("nothing waits for a confirmation here; see xdpctl list")
            return
        path = f"/v1/rules/{self._last_rule}/confirm"
        self._do("POST", path, lambda rule: f"confirmed: {rule['text']}")
        self._last_rule = ""

    def action_release(self) -> None:
        """Let a source pass for an hour."""
        line = self._selected()
        if line is None or not line.address:
            self.say("choose a single source (tab Sources) to release it")
            return
        lines = [f"Let {line.address} pass, whatever detectors say. For how long?"]

        def take(ttl: str | None) -> None:
            if ttl:
                body = {"source": line.address, "ttl": ttl, "reason": "top"}
                told = f"released: {line.address} passes for {ttl}"
                self._do("POST", "/v1/releases", lambda _: told, json=body)

        self.push_screen(Question(lines, _RELEASE), take)

    def action_why(self) -> None:
        """All that is known of the row."""
        line = self._selected()
        if line is None or self._look is None:
            return
        pairs = zip(self._look.columns, line.cells, strict=True)
        self.push_screen(Details([f"{name.lstrip('>')}: {cell}" for name, cell in pairs]))

    def action_help(self) -> None:
        """All keys."""
        tabs = ", ".join(f"{(place + 1) % 10} {tab.name}" for place, tab in enumerate(TABS))
        keys = [f"{key}  {what}" for key, what in _KEYS]
        self.push_screen(Details([*keys, "", f"tabs: {tabs}"]))

    def action_freeze(self) -> None:
        """No new rules of detectors, or again."""
        frozen = self._look is not None and "detectors off" in self._look.state
        mode = None if frozen else "off"
        told = "detectors act as configured again" if frozen else "frozen: detectors add no rules"
        self._do("PUT", "/v1/automatic", lambda _: told, json={"mode": mode})

    def action_bypass(self) -> None:
        """Let everything pass, or filter again."""
        on = self._look is None or not self._look.state.startswith("BYPASS")
        word = "bypass" if on else "filter"
        what = "Everything will pass, the attack too." if on else "It will filter again."

        def take(typed: str | None) -> None:
            if typed == word:
                told = "everything passes" if on else "filtering"
                self._do("POST", "/v1/bypass", lambda _: told, json={"on": on})
            elif typed is not None:
                self.say(f"nothing was changed: {word} was not typed")

        self.push_screen(Question([what, f"Type {word} and Enter."]), take)
