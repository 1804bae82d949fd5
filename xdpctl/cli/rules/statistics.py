# SPDX-License-Identifier: GPL-2.0-or-later
"""Describes what a rule in monitor mode would hit, and observes a rule before it is enforced."""

import sys
import time
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from xdpctl.abi.constants import SlotNumber
from xdpctl.base.durations import parse_duration
from xdpctl.base.units import si
from xdpctl.cli import output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import Client, path
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Spare

_NAMED = 5
_SHARED_SLOTS = (SlotNumber.PROTECTED, SlotNumber.NEIGHBOUR)
EXIT_COLLATERAL = 1
EXIT_NOTHING = 5
EXIT_UNKNOWN = 7
EXIT_INTERRUPTED = 130


def percent(share: float) -> str:
    """A share as text: `98.7 %`; 100 % and 0 % only for exactly all and none."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %"


def statistics_lines(rule: dict[str, Any]) -> list[str]:
    """Lines that describe what a rule or set in monitor mode would have hit."""
    statistics = rule["statistics"]
    if statistics is None and rule.get("slot") in _SHARED_SLOTS:
        return ["its prefix is protected, so no packet reaches the rule"]
    if statistics is None:
        return ["no statistics: too many rules are in monitor mode"]
    packets = statistics["looked_at"]
    if not packets:
        return ["no matching packet yet"]
    verb = Action(rule["action"]).past
    sources = output.plural(statistics["sources"], "source", "sources")
    ends = output.plural(statistics["destinations"], "address", "addresses")
    lines = [
        f"would have {verb} {si(packets)} packets{_unestablished(statistics)}, "
        f"from about {sources} to {ends}"
    ]
    if statistics["flows_asked"]:
        spared = ", spared by the rule" if Spare(rule["spare"]).known_flows else ""
        lines.append(f"{percent(statistics['known'] / packets)} of them of known flows{spared}")
    elif forwarded := statistics["forwarded"]:
        share = "" if forwarded == 1 else f" for {percent(forwarded)} of them"
        lines.append(f"established connections: unknown here{share} (forwarded traffic)")
    if statistics["connections"]:
        connections = output.plural(statistics["connections"], "connection", "connections")
        spared = ", spared by the rule" if rule["spare"] != "none" else ""
        who = sorted({connection["source"] for connection in statistics["top_connections"]})
        more = ", …" if len(who) > _NAMED else ""
        lines.append(
            f"{connections} established with this host{spared}: {', '.join(who[:_NAMED])}{more}"
        )
    if statistics["accepted"]:
        lines.append(f"{si(statistics['accepted'])} of them from accepted or protected sources")
    lines.append(f"from {_shares(statistics['top_sources'])}")
    lines += [f"{word} {_shares(values)}" for word, values in statistics["top"].items()]
    return lines


def _unestablished(statistics: dict[str, Any]) -> str:
    """The share of unestablished packets as text, or "" unless all of them go to this host."""
    if statistics["forwarded"] or statistics["flows_asked"]:
        return ""
    packets = statistics["looked_at"]
    share = percent((packets - statistics["established"]) / packets)
    return f", {share} of them unestablished"


def _shares(shares: list[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['value']} ({percent(entry['share'])})" for entry in shares)


def details(rule: dict[str, Any], console: Console = output.out) -> None:
    """Print what a rule or set in monitor mode would have hit."""
    if rule["mode"] == "monitor":
        for number, line in enumerate(statistics_lines(rule)):
            console.print(f"{'' if number == 0 else '  '}{escape(line)}", soft_wrap=True)


def check(seconds: str | None, collateral: str | None, others: bool) -> tuple[float, float | None]:
    """Seconds to observe (0: not at all), and the allowed share of established packets."""
    if seconds is None:
        if collateral is not None:
            raise typer.BadParameter("--max-collateral needs --observe")
        return 0.0, None
    if others:
        raise typer.BadParameter(
            "--observe starts in monitor mode: do not combine it with --monitor or --confirm-within"
        )
    if collateral is None and not sys.stdin.isatty():
        raise typer.BadParameter(
            "--observe asks before it enforces, but standard input is no terminal: "
            "give --max-collateral 0%"
        )
    return _duration(seconds), None if collateral is None else _share(collateral)


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text, "--observe")
    except RuleError:
        seconds = 0.0
    if seconds <= 0:
        raise typer.BadParameter(f"--observe is {text!r}: give a duration such as 60s or 5m")
    return seconds


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"--max-collateral is {text!r}: give 0% to 100%, such as 0.5%")
    return share


def watch(
    client: Client,
    rule: dict[str, Any],
    seconds: float,
    max_share: float | None,
    form: Format,
    force: bool = False,
) -> None:
    """Observe a rule in monitor mode, print what it would hit, then ask or decide.

    It asks unless `max_share` is given. Then the rule is enforced if at most this share of the
    packets belongs to known flows, or to connections of this host, that it does not spare.
    typer.Exit if it is not enforced.
    """
    console = output.err if form.for_programs else output.out
    if rule["mode"] != "monitor":
        console.print("the rule is already enforced, so there is nothing to observe")
    else:
        rule, code = _decide(client, rule, seconds, max_share, console, force)
        if code:
            name = output.name(rule)
            console.print(
                f"the rule stays in monitor mode; enforce it with xdpctl mode {name} enforce, "
                f"or remove it with xdpctl unblock {name}",
                soft_wrap=True,
            )
            printed(rule, form)
            raise typer.Exit(code)
        console.print(f"in force: {output.action(rule)} {escape(output.where(rule))}")
    printed(rule, form)


def _decide(
    client: Client,
    rule: dict[str, Any],
    seconds: float,
    max_share: float | None,
    console: Console,
    force: bool,
) -> tuple[dict[str, Any], int]:
    """The rule after it was observed, and the exit code: 0 if it is enforced."""
    place = path("rules", rule["id"])
    try:
        console.print(
            f"observing for {seconds:g} s: matching packets are counted and pass", soft_wrap=True
        )
        time.sleep(seconds)
    except KeyboardInterrupt:
        return rule, EXIT_INTERRUPTED
    rule = client.call("GET", place)
    details(rule, console)
    code = (
        _ask()
        if max_share is None
        else _judge(rule["statistics"], rule["spare"], max_share, console)
    )
    if code:
        return rule, code
    # a person has seen what the rule hits, so the answer also confirms a wide drop
    query = {"force": True} if force or max_share is None else {}
    return client.call("POST", path("rules", rule["id"], "enforce"), params=query), 0


def _ask() -> int:
    try:
        return 0 if typer.confirm("Enforce the rule?", default=False) else EXIT_COLLATERAL
    except typer.Abort as answer:  # the rule exists already, and the next line says so
        print()
        interrupted = isinstance(answer.__context__, KeyboardInterrupt)
        return EXIT_INTERRUPTED if interrupted else EXIT_COLLATERAL


def _judge(statistics: dict[str, Any] | None, spare: str, max_share: float, out: Console) -> int:
    if not statistics or not statistics["looked_at"]:
        return EXIT_NOTHING
    flows_asked = statistics["flows_asked"]
    if statistics["forwarded"] and not flows_asked:
        out.print(
            f"collateral unknown: {percent(statistics['forwarded'])} of the packets are forwarded, "
            "and connections through this host are not known",
            soft_wrap=True,
        )
        return EXIT_UNKNOWN
    known = statistics["known" if flows_asked else "established"]
    spared = statistics["established"] if spare == "established" else 0
    spared = known if Spare(spare).known_flows else spared
    share: float = (known - spared) / statistics["looked_at"]
    verdict = "within" if share <= max_share else "above"
    out.print(f"collateral {percent(share)}, {verdict} the allowed {percent(max_share)}")
    return 0 if share <= max_share else EXIT_COLLATERAL
