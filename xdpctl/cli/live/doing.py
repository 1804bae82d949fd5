# SPDX-License-Identifier: GPL-2.0-or-later
"""The base of the live view: it calls the API in a thread, and says what was done or why not."""

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.app import App
from textual.widgets import DataTable, Static
from textual.worker import Worker, get_current_worker

from xdpctl.base.text import printable
from xdpctl.cli import words
from xdpctl.cli.live.looks import Look
from xdpctl.cli.live.tables import ApiClient, Line
from xdpctl.errors import Refused, XdpctlError


class Doing(App[None]):
    """What actions have in common."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__()
        self.client = client
        self.shown: Look | None = None

    def say(self, text: str) -> None:
        """Show a sentence below the table."""
        self.query_one("#said", Static).update(Text(printable(text)))

    def selected(self) -> Line | None:
        """The line under the cursor."""
        table = self.query_one(DataTable)
        place = table.cursor_row
        if not table.row_count or self.shown is None or place >= len(self.shown.lines):
            return None
        return self.shown.lines[place]

    def from_thread(self, worker: Worker[Any], call: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the view's main thread, if the view still runs."""
        if not worker.is_cancelled and self.is_running:
            self.call_from_thread(call, *arguments)

    def do(self, method: str, path: str, describe: Callable[[Any], str], **body: Any) -> None:
        """Call the API in a thread, and say what was done or why not."""

        def call() -> None:
            worker = get_current_worker()
            try:
                text = describe(self.client.call(method, path, **body))
            except Refused as error:
                fix = error.problem.get("fix", "")
                text = words.spoken(f"not done: {error}" + (f" ({fix})" if fix else ""))
            except XdpctlError as error:
                text = f"not done: {error}"
            self.from_thread(worker, self.say, text)

        self.run_worker(call, thread=True, group="act", exit_on_error=False)
