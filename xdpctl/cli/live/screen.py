# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view itself: a header, tabs, a table, and keys that act on the selected row."""

import asyncio
import signal
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static, Tabs
from textual.widgets import Tab as TabLabel
from textual.worker import get_current_worker

from xdpctl.base.text import printable
from xdpctl.cli.live import looks
from xdpctl.cli.live.actions import Acting
from xdpctl.cli.live.dialogs import Question
from xdpctl.cli.live.looks import TABS, Look, View
from xdpctl.cli.live.tables import ApiClient, Line
from xdpctl.errors import RuleError, XdpctlError
from xdpctl.model.match import text

_NOTHING = "nothing unusual passes, and no rule of a detector waits for you"
_CALM = "the filter works without this view"


class TopApp(Acting):
    """Requests new figures every `delay` seconds, but not before the last answer has arrived."""

    TITLE = "xdpctl top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state { height: auto; max-height: 5; text-style: bold; }
    #state.trouble { background: $error; color: $text; }
    #rates { height: 2; }
    #view { height: 1; color: $text-muted; }
    #said { height: auto; max-height: 4; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "block", "Block"),
        Binding("l", "limit", "Limit"),
        Binding("h", "challenge", "Challenge"),
        Binding("r", "release", "Release"),
        Binding("c", "confirm", "Confirm"),
        Binding("a", "allow", "Allow", show=False),
        Binding("w", "why", "Why"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("v", "verdict", "Verdict"),
        Binding("s", "sort", "Sort", show=False),
        Binding("o", "automatic", "Automatic"),
        Binding("B", "bypass", "Bypass"),
        Binding("question_mark", "help", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        *(
            Binding(str((place + 1) % 10), f"tab({place})", tab.name, show=False)
            for place, tab in enumerate(TABS[:10])
        ),
    ]

    def __init__(self, client: ApiClient, delay: float, view: View) -> None:
        super().__init__(client)
        self.theme = "ansi-dark"  # the colours of the terminal, be it light or dark
        self._delay, self._view = delay, view
        self._asked_for: View | None = None  # the view whose figures are being requested

    def compose(self) -> ComposeResult:
        """The parts of the screen, from top to bottom."""
        yield Static(id="state")
        yield Static(id="rates")
        labels = (TabLabel(tab.name, id=f"tab-{place}") for place, tab in enumerate(TABS))
        yield Tabs(*labels, active=f"tab-{TABS.index(self._view.tab)}")
        yield Static(id="view")
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield Static(id="said")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Request figures at once, and then again and again."""
        table = self.query_one(DataTable)
        table.focus()
        self._show_view()
        self.set_interval(self._delay, self._refresh)
        self._refresh()
        for number in (signal.SIGTERM, signal.SIGHUP):  # a normal exit restores the terminal
            asyncio.get_running_loop().add_signal_handler(number, self.exit)

    # requests

    def _refresh(self) -> None:
        """Request new figures, unless a request for this view is already under way."""
        if self._asked_for != self._view:
            self._asked_for = self._view
            self.run_worker(self._ask, thread=True, group="look", exit_on_error=False)

    def _ask(self) -> None:
        view, worker = self._view, get_current_worker()
        try:
            look = looks.look(self.client, view)
        except XdpctlError as error:
            self.from_thread(worker, self._answered, view, None, str(error).split(":")[0])
        except Exception as error:  # a defect: without a message, old figures would seem live
            self.from_thread(worker, self._answered, view, None, repr(error))
            raise
        else:
            self.from_thread(worker, self._answered, view, look, "")

    def _answered(self, view: View, look: Look | None, trouble: str) -> None:
        if self._asked_for == view:
            self._asked_for = None
        if look is None:
            self._trouble(trouble)
        else:
            self._show(look, view)

    def _trouble(self, text: str) -> None:
        state = self.query_one("#state", Static)
        state.set_class(True, "trouble")
        state.update(Text(f"not live: {printable(text)}; {_CALM}"))

    def _show(self, look: Look, view: View) -> None:
        if view != self._view:
            return  # the answer is for another tab or filter than the current one
        selected, self.shown = self.selected(), look
        state = self.query_one("#state", Static)
        problems = "; ".join(map(printable, look.problems))
        state.set_class(
            bool(problems) or look.state.startswith("hurting") or look.bypass,
            "trouble",
        )
        state.update(Text(look.state + (f" · {problems}" if problems else "")))
        self.query_one("#rates", Static).update(Text("\n".join(look.rates)))
        if look.refusal:
            self.say(look.refusal)
        self._show_view(empty=view.tab.by == "unusual" and look.known and not look.lines)
        self._fill(look, selected)

    def _fill(self, look: Look, selected: Line | None) -> None:
        table = self.query_one(DataTable)
        names = tuple(column.label.plain for column in table.columns.values())
        columns = tuple(name.lstrip(">") for name in look.columns)
        table.clear(columns=names != columns)
        if names != columns:
            table.add_columns(*map(Text, columns))
        for line in looks.aligned(look):
            table.add_row(*map(Text, line.cells))
        keys = [line.key for line in look.lines]
        if selected and selected.key in keys:
            table.move_cursor(row=keys.index(selected.key))

    def _show_view(self, empty: bool = False) -> None:
        """Say what is shown; `empty`: the first tab has nothing."""
        if empty:
            self.query_one("#view", Static).update(_NOTHING)
            return
        view = self._view
        parts = [f"verdict {view.verdict}", f"by {view.sort}", f"last {view.window}"]
        parts += [f"where {view.where}"] if view.where else []
        self.query_one("#view", Static).update(Text(" · ".join(parts)))

    def _change(self, view: View) -> None:
        self._view, self.shown = view, None
        self.query_one(DataTable).clear(columns=True)  # the rows belong to the previous view
        self._show_view()
        self._refresh()

    # what the screen shows

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Do what is proposed for the row: Enter was pressed."""
        self.action_proposed()

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """Show the chosen tab."""
        place = int((event.tab.id or "tab-0").removeprefix("tab-"))
        self.say("")
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

        def take(typed: str | None) -> None:
            if typed is None:
                return
            try:
                where = str(text.parse(typed)) if typed else ""
            except RuleError as error:
                self.say(f"the filter stays as it was: {error} ({error.fix})")
            else:
                self._change(replace(self._view, where=where))

        self.push_screen(Question(lines, self._view.where), take)
