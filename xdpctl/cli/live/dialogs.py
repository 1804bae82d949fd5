# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions that the live view asks."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Question(ModalScreen[str | None]):
    """Lines of text and an input field; its result is the typed text, or None after Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss_none", "Cancel")]
    CSS = """
    Question { align: center middle; }
    Question > Vertical { width: 90%; max-width: 100; height: auto; border: round $primary;
        background: $surface; padding: 0 1; }
    Question Static { height: auto; margin-bottom: 1; }
    """

    def __init__(self, lines: Sequence[str], initial: str = "") -> None:
        super().__init__()
        self._lines, self._initial = lines, initial

    def compose(self) -> ComposeResult:
        """The lines of text, and the input field, which has the focus."""
        with Vertical():
            yield Static(Text("\n".join(self._lines)))
            yield Input(self._initial)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the typed text after Enter."""
        self.dismiss(event.value.strip())

    def action_dismiss_none(self) -> None:
        """Return None after Escape."""
        self.dismiss(None)


class Details(ModalScreen[None]):
    """Text that any key closes."""

    CSS = """
    Details { align: center middle; }
    Details > Static { width: 90%; height: auto; max-height: 90%; border: round $primary;
        background: $surface; padding: 0 1; }
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        yield Static(Text("\n".join([*self._lines, "", "any key closes this"])))

    def on_key(self) -> None:
        self.dismiss()
