# SPDX-License-Identifier: GPL-2.0-or-later
"""`replay --detect`: shows what the embedded detector would have done about recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from msgspec.structs import replace
from rich.markup import escape

from xdpctl.cli import output
from xdpctl.cli.formats import Format, printed
from xdpctl.config.settings import Settings
from xdpctl.errors import RecordingError
from xdpctl.model.event import Phase

if TYPE_CHECKING:
    from xdpctl.lab.replay.detector import Rehearsed


def rehearse(
    settings: Settings,
    recordings: Sequence[Path],
    normal: Sequence[Path],
    truth: Path | None,
    form: Format,
) -> None:
    """Run the detector over each recording, and print what it did."""
    from xdpctl.lab.replay.detector import EVERYWHERE, learn
    from xdpctl.lab.replay.detector import rehearse as run

    if truth is not None and len(recordings) != 1:
        raise typer.BadParameter("--truth is about one recording")
    ours = settings.automatic.networks or settings.protected or EVERYWHERE
    detect = replace(settings.detect, learning=0.0) if normal else settings.detect
    learnt = learn(normal, ours) if normal else None
    reports, missed = [], list[str]()
    for path in recordings:
        try:
            reports.append(_report(str(path), run(path, detect, ours, learnt, truth)))
        except RecordingError as error:
            missed.append(str(error))
        learnt = learn(normal, ours) if normal else None  # the detector has changed the last one
    result = {
        "protected": [str(prefix) for prefix in ours],
        "normal": [str(path) for path in normal],
        "recordings": reports,
        "missed": missed,
    }
    if not printed(result, form):
        _print_all(result, ours == EVERYWHERE)
    if missed:
        raise typer.Exit(1)


def _print_all(result: dict[str, Any], everywhere: bool) -> None:
    if everywhere:
        output.out.print("the configuration protects nothing, so every destination is looked at")
    if not result["normal"]:
        output.out.print("without --normal, the detector knows no normal traffic")
    for report in result["recordings"]:
        _print(report)
    for line in result["missed"]:
        output.err.print(f"[red]missed:[/red] {escape(line)}", soft_wrap=True)


def _report(name: str, done: "Rehearsed") -> dict[str, Any]:
    drops = [
        event.at
        for event in done.reports
        if event.phase is Phase.BEGAN and event.mitigation["action"] == "drop"
    ]
    began = done.first_attack or 0.0
    truth = {
        word: {"packets": sum(counts.values()), "outcomes": dict(counts)}
        for word, counts in done.truth.items()
    }
    return {
        "recording": name,
        "packets": done.packets,
        "seconds": done.seconds,
        "known_flows": done.flows,
        "outcomes": dict(done.outcomes),
        "reports": [
            {"at": event.at, "phase": event.phase.value, "watch": event.watch, **event.mitigation}
            for event in done.reports
        ],
        "truth": truth,
        "legitimate": {
            kind: {"packets": count, "kept_out": hit}
            for kind, (count, hit) in done.legitimate.items()
        },
        "first_mitigation_after": min(
            (event.at - began for event in done.reports if event.phase is Phase.BEGAN), default=None
        ),
        "first_drop_after": min((at - began for at in drops), default=None),
        "cut_file": done.skipped.tail,
    }


_VERBS = {"began": "began", "continues": "again", "ended": "ended"}


def _print(report: dict[str, Any]) -> None:
    flows = "told apart" if report["known_flows"] else "not told apart: no packet goes out"
    output.out.print(
        f"[bold]{escape(report['recording'])}[/bold]: {report['packets']:,} packets in "
        f"{report['seconds']:.1f} s; known flows are {flows}",
        soft_wrap=True,
    )
    for event in report["reports"]:
        verb = "watch" if event["watch"] else _VERBS[event["phase"]]
        line = f"  {event['at']:8.2f} s  {verb:<6} {event['action']} {event['match']}"
        output.out.print(escape(line), soft_wrap=True)
        because = event["finding"].get("because", ()) if event["phase"] == "began" else ()
        for why in because:
            output.out.print(f"              - {escape(why)}", soft_wrap=True)
    if not report["reports"]:
        output.out.print("  nothing would have been done")
    for word, counts in report["truth"].items():
        total, passed = counts["packets"], counts["outcomes"].get("no_rule", 0)
        kept_out = total - passed
        output.out.print(
            f"  {word}: {kept_out:,} of {total:,} packets kept out ({kept_out / total:.3%})"
        )
    for kind, counts in report["legitimate"].items():
        if counts["kept_out"]:
            share = counts["kept_out"] / counts["packets"]
            output.out.print(f"    of legitimate {kind}: {counts['kept_out']:,} ({share:.2%})")
