# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversion of text and Markdown to mdoc(7)."""

import re
from collections.abc import Iterable

_ESCAPED = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?]) (?=[A-Z\[])")
_CODE = re.compile(r"`([^`]+)`")
_WORDS_OF_MDOC = re.compile(r"(?<!\S)([A-Z][a-z]|[|.,:;()\[\]?!])(?!\S)")


def plain(text: str) -> str:
    """Escape text as one line that is shown unchanged."""
    return _escaped(" ".join(text.split()))


def _escaped(line: str) -> str:
    escaped = "".join(_ESCAPED.get(letter, letter) for letter in line)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def argument(text: str) -> str:
    """Escape the argument of a macro, so that no word is taken as a macro or punctuation."""
    escaped = plain(text).replace('"', "\\(dq").replace("|", "\\:|")  # a line may end before |
    return _WORDS_OF_MDOC.sub(r"\\&\1", escaped)


def marked(text: str) -> str:
    """Convert a line of Markdown: code becomes bold, and a link is replaced by its text."""
    parts = _CODE.split(_LINK.sub(r"\1", text))
    texts = [plain(part) if part.strip() else part for part in parts]
    spaced = [_edges(part, text_of_part) for part, text_of_part in zip(parts, texts, strict=True)]
    line = "".join(f"\\fB{part}\\fP" if n % 2 else part for n, part in enumerate(spaced))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _edges(part: str, text: str) -> str:
    """Restore the spaces at both ends, between text and code, which `plain` removes."""
    if not part.strip():
        return " " if part else ""
    return " " * part[0].isspace() + text + " " * part[-1].isspace()


def sentences(text: str) -> list[str]:
    """Convert Markdown to one line per sentence, so that roff can space sentences itself."""
    return [marked(sentence) for sentence in _SENTENCE_ENDS.split(" ".join(text.split()))]


def paragraphs(text: str) -> list[str]:
    """Convert Markdown paragraphs, which are separated by empty lines."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += [".Pp", *sentences(paragraph)]
    return lines[1:]


def section(title: str, lines: Iterable[str]) -> list[str]:
    """The lines of a section; none if it is empty."""
    body = list(lines)
    return [f".Sh {title}", *body] if body else []


def terms(pairs: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """The lines of a list of terms with their meanings."""
    lines = [line for term, meant in pairs for line in (f".It Sy {argument(term)}", *meant)]
    return [".Bl -tag -width Ds", *lines, ".El"] if lines else []


def literal(text: str) -> list[str]:
    """The lines of a verbatim block."""
    return [".Bd -literal", *(_escaped(line) for line in text.rstrip().splitlines()), ".Ed"]
