# SPDX-License-Identifier: GPL-2.0-or-later
"""The host side of a virtual machine: actions that the machine cannot do itself."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.vm.guest import GuestError

_LOOK_SECONDS = 0.1


class Owner(threading.Thread):
    """Calls `do` with each word that the machine asks for (tests/vm/inside/machine.py).

    Used as a context; GuestError at its end if `do` failed.
    """

    def __init__(self, handed_over: Path, do: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._handed_over, self._do = handed_over, do
        self._ended = threading.Event()
        self._broke: Exception | None = None

    def run(self) -> None:
        done = 0
        while not self._ended.wait(_LOOK_SECONDS) and not self._broke:
            with suppress(FileNotFoundError):
                words = asked(self._handed_over.read_text(errors="replace"))
                try:
                    for word in words[done:]:
                        self._do(word)
                except Exception as error:
                    self._broke = error
                done = len(words)

    def __enter__(self) -> "Owner":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        if self._broke:
            raise GuestError(f"what the machine asked for: {self._broke}") from self._broke


def asked(text: str) -> list[str]:
    """The requests in a machine's output; an incomplete last line is left for the next time."""
    return re.findall(r"^\?\? (\w+)\s*\n", text, re.M)


def told(text: str) -> dict[str, str]:
    """The reported values, by name."""
    return dict(re.findall(r"^@@ (\S+) (.*?)\s*$", text, re.M))


def rest(text: str) -> str:
    """The rest of the output."""
    return re.sub(r"^(\?\?|@@) .*\n?", "", text, flags=re.M)
