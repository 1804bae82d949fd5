# SPDX-License-Identifier: GPL-2.0-or-later
"""Collects the problems of a configuration file, so that all are reported together."""

import re
import reprlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from xdpctl.errors import ConfigError, RuleError

_REPORTED_MAX = 100  # problems that are kept; a file may have a million
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class Problems:
    """Collects problems; `check` raises them. Values of the tables in `secret` are never shown."""

    def __init__(self, secret: Collection[str] = ()) -> None:
        self.count = 0
        self._secret = secret
        self._reported: list[str] = []

    def add(self, text: str) -> None:
        """Add a problem; its text begins with the place in the file."""
        self.count += 1
        if self.count <= _REPORTED_MAX:
            self._reported.append(text)

    def add_value(self, place: str, value: object, why: str) -> None:
        """Add a problem with an unexpected value; a secret value is left out of the text."""
        if re.split(r"[.\[]", place)[0] in self._secret:
            self.add(f"{place}: {why}")
        else:
            self.add(f"{place or 'the file'} is {show(value)}; {why}")

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Collect the RuleError or ConfigError that a block raises, prefixed with `place`."""
        try:
            yield
        except RuleError as error:
            self.add(f"{place}: {error}" + (f"; {error.fix}" if error.fix else ""))
        except ConfigError as error:
            self.add(f"{place}: {error}")

    def check(self) -> None:
        """Raise ConfigError if there are problems: one problem a line, at most 100."""
        more = self.count - len(self._reported)
        if self._reported:
            lines = [*self._reported, *([f"and {more:,} more"] if more else [])]
            raise ConfigError("\n".join(lines))


def show(value: object) -> str:
    """Show a value as it was given, shortened: it comes from outside and may be long."""
    try:
        return _short.repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        return "a value that is too long to show"
