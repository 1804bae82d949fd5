# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell completion of names: rules, sets, incidents, detectors.

It asks the control plane, and waits a second at most. If it gets no answer, or a refusal, it
proposes nothing, because a shell cannot show an error in the middle of a line.
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
    names = _ask(context, "/v1/rules", query, lambda answer: map(_rule, answer["rules"]))
    return _fitting(names, incomplete)


def rules_and_incidents(context: typer.Context, incomplete: str) -> list[str]:
    """Rules, and incidents where the word may begin one."""
    return [*rules(context, incomplete), *incidents(context, incomplete)]


def sets(context: typer.Context, incomplete: str) -> list[str]:
    """Names of sets."""
    names = _ask(
        context, "/v1/sets", {}, lambda answer: (record["name"] for record in answer["sets"])
    )
    return _fitting(names, incomplete)


def incidents(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of incidents."""
    names = _ask(
        context,
        "/v1/incidents",
        {},
        lambda answer: (incident["id"] for incident in answer["incidents"]),
    )
    return _fitting(["latest", *names] if names else [], incomplete)


def detectors(context: typer.Context, incomplete: str) -> list[str]:
    """Names of detectors."""
    names = _ask(context, "/v1/automatic", {}, lambda answer: answer["detectors"])
    return _fitting(names, incomplete)


def _rule(rule: dict[str, Any]) -> str:
    source: str = rule["match"].get("source", "")
    if rule["match"].keys() != {"source"}:
        return str(rule["id"])
    return source.removesuffix("/32").removesuffix("/128")


def _ask(
    context: typer.Context, path: str, query: dict[str, Any], names: Callable[[Any], Any]
) -> list[str]:
    from xdpctl.client import Client

    # during completion, `params` has only the options that the user typed
    parameters = context.find_root().params
    socket = parameters.get("socket") or os.environ.get("XDPCTL_SOCKET") or paths.SOCKET
    url = parameters.get("url") or os.environ.get("XDPCTL_URL")
    client = Client(Path(socket), url, parameters.get("token") or os.environ.get("XDPCTL_TOKEN"))
    try:
        return list(names(client.call("GET", path, _SECONDS, params=query)))
    except XdpctlError:
        return []


def _fitting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
