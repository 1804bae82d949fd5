# SPDX-License-Identifier: GPL-2.0-or-later
"""Text as mdoc(7) wants it."""

import re
from collections.abc import Iterable

_ESCAPED = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?]) (?=[A-Z\[])")
_CODE = re.compile(r"`([^`]+)`")
_WORDS_OF_MDOC = re.compile(r"(?<!\S)([A-Z][a-z]|[|.,:;()\[\]?!])(?!\S)")


def plain(text: str) -> str:
    """One line of text that is shown as it is."""
    return _escaped(" ".join(text.split()))


def _escaped(line: str) -> str:
    escaped = "".join(_ESCAPED.get(letter, letter) for letter in line)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def argument(text: str) -> str:
    """The argument of a macro: its words are neither macros nor punctuation."""
    return _WORDS_OF_MDOC.sub(r"\\&\1", plain(text).replace('"', "\\(dq"))


def marked(text: str) -> str:
    """A line of Markdown: code is bold, and of a link the text is left."""
    parts = _CODE.split(_LINK.sub(r"\1", text))
    shown = [plain(part) if part.strip() else part for part in parts]
    spaced = [_edges(part, made) for part, made in zip(parts, shown, strict=True)]
    line = "".join(f"\\fB{one}\\fP" if n % 2 else one for n, one in enumerate(spaced))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _edges(part: str, made: str) -> str:
    """`plain` takes the spaces at both ends, which stand between text and code."""
    if not part.strip():
        return " " if part else ""
    return " " * part[0].isspace() + made + " " * part[-1].isspace()


def sentences(text: str) -> list[str]:
    """Markdown; each sentence is a line, so that it is spaced as the reader's device wants it."""
    return [marked(one) for one in _SENTENCE_ENDS.split(" ".join(text.split()))]


def paragraphs(text: str) -> list[str]:
    """Paragraphs are apart by an empty line."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += [".Pp", *sentences(paragraph)]
    return lines[1:]


def section(title: str, lines: Iterable[str]) -> list[str]:
    """A section; none at all if there is nothing in it."""
    body = list(lines)
    return [f".Sh {title}", *body] if body else []


def terms(pairs: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """A list of terms, each with what it means."""
    lines = [line for term, meant in pairs for line in (f".It Sy {argument(term)}", *meant)]
    return [".Bl -tag -width Ds", *lines, ".El"] if lines else []


def literal(text: str) -> list[str]:
    """A file as it is."""
    return [".Bd -literal", *(_escaped(line) for line in text.rstrip().splitlines()), ".Ed"]
