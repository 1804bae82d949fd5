# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule in monitor mode would hit, in words; and watching it before it is switched on."""

import sys
import time
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from xdpctl.base.durations import parse_duration
from xdpctl.base.units import si
from xdpctl.cli import output
from xdpctl.errors import RuleError
from xdpctl.service.client import Client, path

_NAMED = 5
_VERBS = {"drop": "dropped", "limit": "dropped", "accept": "let through"}
EXIT_COLLATERAL = 1
EXIT_NOTHING = 5
EXIT_INTERRUPTED = 130


def percent(share: float) -> str:
    """`98.7 %`, and never 100 % or 0 % of what is not all or nothing."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %"


def told(rule: dict[str, Any]) -> list[str]:
    """Lines on what it would have hit; of a rule or a set."""
    statistics = rule["statistics"]
    if statistics is None:
        return ["nobody looked at what it hits: too many rules are in monitor mode"]
    looked = statistics["looked_at"]
    if not looked:
        return ["nothing it would have hit came yet"]
    verb = _VERBS[rule["action"]]
    unestablished = percent((looked - statistics["established"]) / looked)
    ends = output.plural(statistics["destinations"], "address", "addresses")
    lines = [
        f"would have {verb} {si(looked)} packets, {unestablished} of them unestablished, "
        f"from about {statistics['sources']:,} to {ends}"
    ]
    if statistics["connections"]:
        many = output.plural(statistics["connections"], "connection", "connections")
        spared = ", which it spares" if rule["spare"] == "established" else ""
        who = sorted({c["source"] for c in statistics["top_connections"]})
        more = ", …" if len(who) > _NAMED else ""
        lines.append(f"{many} established with this host{spared}: {', '.join(who[:_NAMED])}{more}")
    if statistics["accepted"]:
        lines.append(f"{si(statistics['accepted'])} of them from accepted or protected sources")
    for name, field in (("to", "top_ports"), ("from", "top_sources")):
        shares = [f"{s['value']} {percent(s['share'])}" for s in statistics[field]]
        lines.append(f"{name} {', '.join(shares)}")
    return lines


def details(rule: dict[str, Any], said: Console = output.out) -> None:
    """Below a rule's or set's fields, in monitor mode."""
    if rule["mode"] == "monitor":
        for number, line in enumerate(told(rule)):
            said.print(f"{'' if number == 0 else '  '}{escape(line)}", soft_wrap=True)


def check(seconds: str | None, collateral: str | None, others: bool) -> tuple[float, float | None]:
    """How long to watch, 0 for not at all, and the share of established packets to bear."""
    if seconds is None:
        if collateral is not None:
            raise typer.BadParameter("--max-collateral goes with --observe")
        return 0.0, None
    if others:
        raise typer.BadParameter(
            "--observe begins in monitor mode: neither --monitor nor --confirm-within go with it"
        )
    if collateral is None and not sys.stdin.isatty():
        raise typer.BadParameter(
            "--observe asks before it goes on, and here is nobody to ask: give --max-collateral 0%"
        )
    return _duration(seconds), None if collateral is None else _share(collateral)


def _duration(given: str) -> float:
    try:
        seconds = parse_duration(given, "--observe")
    except RuleError:
        seconds = 0.0
    if seconds <= 0:
        raise typer.BadParameter(f"--observe is {given!r}: write how long to watch, 60s or 5m")
    return seconds


def _share(given: str) -> float:
    try:
        share = float(given.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"--max-collateral is {given!r}: write 0%, 0.5% … 100%")
    return share


def watch(
    client: Client, rule: dict[str, Any], seconds: float, bearable: float | None, as_json: bool
) -> None:
    """Let a rule count for a while, tell what it would hit, and ask, or decide by the share of
    packets that belong to established connections and are not spared.
    """
    said = output.err if as_json else output.out
    if rule["mode"] != "monitor":
        said.print("it is in force already, so there is nothing to watch")
    else:
        said.print(f"watching for {seconds:g} s; it counts and lets pass", soft_wrap=True)
        rule, code = _decide(client, rule, seconds, bearable, said)
        if code:
            stays = (
                f"it stays in monitor mode: xdpctl promote {output.name(rule)}, or xdpctl unblock"
            )
            said.print(f"{stays} {output.name(rule)}", soft_wrap=True)
            if as_json:
                output.emit(rule)
            raise typer.Exit(code)
        said.print(f"in force: {output.action(rule)} {escape(output.where(rule))}")
    if as_json:
        output.emit(rule)


def _decide(
    client: Client, rule: dict[str, Any], seconds: float, bearable: float | None, said: Console
) -> tuple[dict[str, Any], int]:
    """The rule as it stands then, and why it is not in force, 0 if it is."""
    place = path("rules", rule["id"])
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        return rule, EXIT_INTERRUPTED
    rule = client.call("GET", place)
    details(rule, said)
    code = (
        _asked() if bearable is None else _judged(rule["statistics"], rule["spare"], bearable, said)
    )
    return rule if code else client.call("POST", path("rules", rule["id"], "promote")), code


def _asked() -> int:
    return 0 if typer.confirm("switch it on?", default=False) else EXIT_COLLATERAL


def _judged(statistics: dict[str, Any] | None, spare: str, bearable: float, said: Console) -> int:
    if not statistics or not statistics["looked_at"]:
        return EXIT_NOTHING
    hit = 0 if spare == "established" else statistics["established"]
    share: float = hit / statistics["looked_at"]
    verdict = "within" if share <= bearable else "more than"
    said.print(f"collateral {percent(share)}, {verdict} the {percent(bearable)} to bear")
    return 0 if share <= bearable else EXIT_COLLATERAL
