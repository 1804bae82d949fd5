# SPDX-License-Identifier: GPL-2.0-or-later
"""Parser for the short text of a match: `udp src-port 53 length >=512 dst 198.51.100.7`."""

import difflib
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from xdpctl.errors import RuleError
from xdpctl.model.match.components import BY_WORD, COMPONENTS, Component
from xdpctl.model.match.match import Match, Value, join, read

_FIELD, _TEXT_MAX = "match", 16_384
_DANGLING = re.compile(r"[<>=!&,+/]$|(^|&)!?@[0-9]+$")  # what follows belongs to it


class _Token(NamedTuple):
    text: str
    at: int  # position in the text, from 1


def parse(text: str) -> Match:
    """The match in a text; RuleError quotes the first invalid token with its position."""
    components: dict[str, Value] = {}
    if len(text) > _TEXT_MAX:
        fix = f"write at most {_TEXT_MAX} characters"
        raise RuleError(f"the match is {len(text)} characters long", _FIELD, fix)
    tokens = deque(_tokens(text))
    while tokens:
        word = tokens.popleft()
        component, values = _component(word), []
        if component is None:
            component, values = COMPONENTS["protocol"], [_protocol(word)]
        else:
            values = list(_values(word, tokens))
        if component.name in components:
            raise _wrong(
                word, f"{component.name} is given twice", "list its values with commas: 53,123"
            )
        value = " ".join(token.text for token in values)
        try:
            components[component.name] = read(component, value, _FIELD)
        except RuleError as error:
            raise _wrong(values[0], str(error), error.fix) from None
    return join(components)


def _tokens(text: str) -> Iterator[_Token]:
    for word in re.finditer(r"\S+", text.lower()):
        yield _Token(word[0], word.start() + 1)


def _component(word: _Token) -> Component | None:
    return BY_WORD.get(word.text)


def _protocol(word: _Token) -> _Token:
    """The token, if it is the name of a protocol, which needs no word before it."""
    if word.text.split(",")[0] in COMPONENTS["protocol"].names:
        return word
    near = difflib.get_close_matches(
        word.text, [*BY_WORD, *COMPONENTS["protocol"].names], 1, cutoff=0.5
    )
    known = " ".join(component.words[0] for component in COMPONENTS.values())
    fix = f"did you mean {near[0]}?" if near else f"write a protocol or one of: {known}"
    raise _wrong(word, "not a component", fix)


def _values(word: _Token, tokens: deque[_Token]) -> Iterator[_Token]:
    """The token after the word, and further tokens that are joined to it by an operator."""
    if not tokens:
        raise _wrong(word, "its value is missing", f"write its value: {word.text} …")
    token = tokens.popleft()
    yield token
    while tokens and (_DANGLING.search(token.text) or tokens[0].text[0] in "&,/"):
        token = tokens.popleft()
        yield token


def _wrong(token: _Token, what: str, fix: str) -> RuleError:
    return RuleError(f"{token.text[:40]!r} at {token.at}: {what}", _FIELD, fix)
