# SPDX-License-Identifier: GPL-2.0-or-later
"""Any other detector: a JMESPath expression converts its JSON to our own format."""

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from xdpctl.detectors import checked
from xdpctl.detectors.formats import native
from xdpctl.detectors.registry import Adapter
from xdpctl.errors import ConfigError, RuleError
from xdpctl.model.event import Event, plain


def adapter(expression: str, where: str) -> Adapter:
    """An adapter for an expression that yields one event, a list of them, or null.

    `where` names the setting in errors. ConfigError if the expression is not valid.
    """
    try:
        compiled = jmespath.compile(expression)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not a JMESPath expression: {plain(error)}") from error

    def read(body: bytes) -> list[Event]:
        data = checked.document(body)
        try:
            result = compiled.search(data)
        except (JMESPathError, RecursionError, ValueError, TypeError) as error:
            fix = f"check {where}, and what the detector sends"
            problem = f"the expression fails for this body: {plain(error)}"
            raise RuleError(problem, "", fix) from None
        items = result if isinstance(result, list) else [result]
        return native.events([_filled(item) for item in items if item is not None])

    return read


def _filled(event: Any) -> Any:
    """The event without fields that are null (JMESPath's value of missing ones); its id as text."""
    if not isinstance(event, dict):
        return event
    data = {name: value for name, value in event.items() if value is not None}
    if type(data.get("id")) is int:
        data["id"] = str(data["id"])
    return data
