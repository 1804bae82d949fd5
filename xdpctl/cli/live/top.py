# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that shows what the traffic is made of now."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from xdpctl.base.text import printable
from xdpctl.base.units import si, si3
from xdpctl.cli import options, output, waiting
from xdpctl.cli.formats import Format, Lines, printed
from xdpctl.cli.live.looks import View, tab
from xdpctl.client import Client

app = typer.Typer()
_DEFAULT_BY = "reason,destination-network,destination,source-port,destination-port,tcp-flags,icmp"
_OUT_BY = "source,destination,destination-port,source-port,protocol"
_NOTHING = "nothing stands out: no match explains traffic that has grown"
_LEAST = 0.005  # rows with a smaller share are not shown, except the first


_By = Annotated[
    str,
    typer.Option(
        help="What to count by: source, source-network, destination, destination-network, "
        "source-port, destination-port, protocol, packet-length, tcp-flags, icmp, ttl, "
        "fragment, dscp, vlan, payload, ethertype, reason, rule, interface, as, country."
    ),
]
_Verdict = Annotated[
    str, typer.Option(help="Only drop or pass, or a reason such as limited; all counts both.")
]
_Where = Annotated[
    str | None, typer.Option(help="Only packets that match: 'dst 198.51.100.7 udp'.")
]
_Delay = Annotated[
    float, typer.Option("-d", "--delay", min=0.2, max=3600, help="Seconds between two looks.")
]
_Plain = Annotated[
    bool, typer.Option("--plain", help="Print tables again and again, and draw nothing.")
]


@app.command()
def top(
    context: typer.Context,
    by: _By = _DEFAULT_BY,
    verdict: _Verdict = "all",
    where: _Where = None,
    window: Annotated[str, typer.Option(help="How far back, 1s to 60s.")] = "10s",
    limit: Annotated[int, typer.Option(help="Rows of each table.")] = 5,
    delay: _Delay = 1.0,
    plain: _Plain = False,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    out: Annotated[
        bool, typer.Option("--out", help="What leaves through outside interfaces, as tables.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Show what the traffic of the last seconds is made of, with a match for each row.

    Estimates from sampled packets. On a terminal it is a live view in which rows can be selected,
    and blocked, limited or released; --plain prints tables again and again instead.

    Example: xdpctl top --by source-port,destination --verdict pass --once
    Example: xdpctl top --out
    """
    if out and by == _DEFAULT_BY:
        by = _OUT_BY
    client = options.client(context)
    drawn = sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if output.out.is_terminal and drawn and not (plain or once or out or form.for_programs):
        from xdpctl.cli.live.screen import TopApp  # imported late: it imports Textual

        TopApp(client, delay, first_view(by, verdict, where or "", window)).run()
        return
    query = {"by": by, "verdict": verdict, "window": window, "limit": limit}
    query |= {"where": where} if where else {}
    query |= {"out": True} if out else {}
    _tables(client, query, form, once, delay)


def first_view(by: str, verdict: str, where: str, window: str) -> View:
    """What the live view shows first: what is unusual, unless somebody asked for something."""
    asked = by != _DEFAULT_BY
    of_traffic = "destination" if verdict != "all" or where else "unusual"
    return View(tab(by if asked else of_traffic), verdict, where=where, window=window)


def _tables(client: Client, query: dict[str, Any], form: Format, once: bool, delay: float) -> None:
    """Print tables once, or again and again."""
    lines = Lines(form)
    while True:
        answer = client.call("GET", "/v1/top", params=query)
        if once or not (output.out.is_terminal or form.for_programs):
            if not printed(answer, form):
                show(answer)
            return
        if form.for_programs:
            lines.print(answer)
        else:
            output.out.clear()
            show(answer)
        time.sleep(delay)


@app.command()
def suggest(
    context: typer.Context,
    window: Annotated[str, typer.Option(help="How far back, 1s to 60s.")] = "10s",
    before: Annotated[
        str, typer.Option(help="Age of the traffic to compare with, 10m to 2h.")
    ] = "1h",
    form: options.Output = Format.TABLE,
) -> None:
    """Suggest matches of traffic that has grown, with the share of earlier traffic in each.

    It looks at packets that no rule decides and that belong to no known flow, and changes nothing.
    What detectors propose comes first, if their rules only count.

    Example: xdpctl suggest
    """
    body = {"window": window, "before": before}
    client = options.client(context)
    answer = client.call("POST", "/v1/suggest", json=body)
    rules = waiting.word(client)["waiting"]
    if printed({**answer, "waiting": rules}, form):
        return
    waiting.proposals(rules)
    if not answer["matches"]:
        print("nothing else stands out" if rules else _NOTHING)
    rows = [
        (
            *(si3(candidate["packets"]), f"{candidate['share']:.1%}"),
            *(_before(candidate), candidate["does"], candidate["match"]),
        )
        for candidate in answer["matches"]
    ]
    output.table((">packets/s", ">share now", ">share before", "proposed", "match"), rows)
    if answer["matches"] and not answer["before_sampled"]:
        print(
            "\nthere is no earlier traffic to compare with: what else a match would drop is unknown"
        )
    for candidate in answer["matches"][:1]:
        print(f"\ntry it, it ends by itself: {_command(candidate)}")


def _command(candidate: Mapping[str, Any]) -> str:
    """The command that does what is proposed, for a trial."""
    verb = {"drop": "block"}.get(candidate["action"], candidate["action"])
    rate = f" --pps {candidate['limit']['pps']:g}" if candidate["limit"] else ""
    return f"xdpctl {verb} --match '{candidate['match']}'{rate} --confirm-within 60s"


def _before(candidate: Mapping[str, Any]) -> str:
    """The share of earlier packets that a match would have taken, with its error."""
    if candidate["before"] is None:
        return "not known"
    return f"{candidate['before']:.1%} ± {candidate['before_error'] * 100:.1f}"


def show(answer: Mapping[str, Any]) -> None:
    """Print the figures once: the sum, and a table for each dimension."""
    packets, bits = (si3(answer[of]) for of in ("packets", "bits"))
    rates = f"{packets} packets/s, {bits}bit/s"
    of = output.plural(answer["sampled"], "sampled packet", "sampled packets")
    print(f"{rates}; the last {answer['seconds']:.0f} s, from {of}")
    if answer["missing"]:
        print(f"{si(answer['missing'])} packets could not be sampled, because there were too many")
    if not answer["sampled"]:
        print("no packet was seen")
        return
    for dimension in answer["dimensions"]:
        print()
        name = dimension["by"].replace("_", " ")
        rows = [
            _row(row) for n, row in enumerate(dimension["rows"]) if not n or row["share"] >= _LEAST
        ]
        if not output.table((name, ">packets/s", ">bit/s", ">share", "match"), rows, wide=True):
            print(f"{name}: no packet has one")
    if any(row["match"] for dimension in answer["dimensions"] for row in dimension["rows"]):
        print("\ndrop a row's packets: xdpctl block --match 'MATCH' --confirm-within 60s")


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    share = f"{row['share']:.1%} ± {row['error'] * 100:.1f}"
    rates = (si3(row[of]) for of in ("packets", "bits"))
    return printable(row["value"]), *rates, share, row["match"] or ""
