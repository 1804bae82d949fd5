# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shell proposes where a name is to be typed: rules, sets, incidents, detectors.

It asks the control plane and waits a second at most. Where that does not answer, or the user may
not ask, nothing is proposed: a shell cannot show an error in the middle of a line.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from xdpctl.config import paths
from xdpctl.errors import XdpctlError

_SECONDS = 1.0
_RULES = 1_000


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """Sources and ids of rules."""
    query = {"limit": _RULES} | ({"begins": incomplete} if incomplete else {})
    found = _ask(context, "/v1/rules", query, lambda answer: map(_rule, answer["rules"]))
    return _fitting(found, incomplete)


def sets(context: typer.Context, incomplete: str) -> list[str]:
    """Names of sets."""
    found = _ask(context, "/v1/sets", {}, lambda answer: (one["name"] for one in answer["sets"]))
    return _fitting(found, incomplete)


def incidents(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of incidents."""
    found = _ask(
        context, "/v1/incidents", {}, lambda answer: (one["id"] for one in answer["incidents"])
    )
    return _fitting(found, incomplete)


def detectors(context: typer.Context, incomplete: str) -> list[str]:
    """Names of detectors."""
    return _fitting(_ask(context, "/v1/automatic", {}, lambda a: a["detectors"]), incomplete)


def _rule(rule: dict[str, Any]) -> str:
    source: str = rule["match"].get("source", "")
    if rule["match"].keys() != {"source"}:
        return str(rule["id"])
    return source.removesuffix("/32").removesuffix("/128")


def _ask(
    context: typer.Context, path: str, query: dict[str, Any], names: Callable[[Any], Any]
) -> list[str]:
    from xdpctl.client import Client

    given = context.find_root().params  # empty while a line is completed, but for what was typed
    socket = given.get("socket") or os.environ.get("XDPCTL_SOCKET") or paths.SOCKET
    url = given.get("url") or os.environ.get("XDPCTL_URL")
    client = Client(Path(socket), url, given.get("token") or os.environ.get("XDPCTL_TOKEN"))
    try:
        return list(names(client.call("GET", path, _SECONDS, params=query)))
    except XdpctlError:
        return []


def _fitting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
