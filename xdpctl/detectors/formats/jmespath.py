# SPDX-License-Identifier: GPL-2.0-or-later
"""A detector that has no file here: its JSON, by a JMESPath expression, in our own format."""

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from xdpctl.detectors import parsing
from xdpctl.detectors.formats import native
from xdpctl.detectors.registry import Adapter
from xdpctl.errors import ConfigError, RuleError
from xdpctl.model.event import Event, plain


def adapter(expression: str, where: str) -> Adapter:
    """Of an expression that gives one event, a list of them, or null; ConfigError if it is none."""
    try:
        compiled = jmespath.compile(expression)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is no JMESPath expression: {plain(error)}") from error

    def read(body: bytes) -> list[Event]:
        held = parsing.document(body)
        try:
            found = compiled.search(held)
        except (JMESPathError, RecursionError, ValueError, TypeError) as error:
            fix = f"look at {where}, or at what is sent"
            raise RuleError(f"the body does not fit: {plain(error)}", "", fix) from None
        given = found if isinstance(found, list) else [found]
        return native.events([_filled(one) for one in given if one is not None])

    return read


def _filled(given: Any) -> Any:
    """JMESPath gives null for what is not there, and an id may be a number."""
    if not isinstance(given, dict):
        return given
    held = {name: value for name, value in given.items() if value is not None}
    if type(held.get("id")) is int:
        held["id"] = str(held["id"])
    return held
