# SPDX-License-Identifier: GPL-2.0-or-later
"""The condition of the box, and what waits for a decision."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from xdpctl.base.units import si3
from xdpctl.cli import output
from xdpctl.errors import Refused

if TYPE_CHECKING:
    from xdpctl.cli.live.tables import ApiClient


def word(client: "ApiClient") -> Mapping[str, Any]:
    """The condition of the box in one word, with reasons and what is unusual.

    The word is `unknown` if the request is refused.
    """
    try:
        condition: Mapping[str, Any] = client.call("GET", "/v1/condition")
    except Refused as error:
        return {"state": "unknown", "reasons": [str(error)], "waiting": [], "matches": []}
    return {name: condition[name] for name in ("state", "reasons", "waiting", "matches")}


def proposals(rules: Iterable[Mapping[str, Any]]) -> None:
    """Print detectors' rules that wait for a decision, each with the command that enforces it."""
    for rule in rules:
        what = f"{si3(rule['rate'])} packets/s of {rule['words']} ({rule['people']})"
        output.out.print(
            escape(f"proposed: {rule['proposal']}: {what}"), style="bold", soft_wrap=True
        )
        how = f"mode {rule['id']} enforce"
        if rule["proposed"] != rule["action"]:
            how = f"edit {rule['id']} --action {rule['proposed']} --mode enforce"
        output.out.print(f"  enforce it: xdpctl {how}")
