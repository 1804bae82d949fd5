# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that runs captures through the rules."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.errors import RecordingError
from xdpctl.service import config

if TYPE_CHECKING:
    from xdpctl.lab.replay.replay import Tally

app = typer.Typer()


@app.command()
def replay(
    recording: Annotated[list[Path], typer.Argument(help="Capture of an attack (pcap or pcapng).")],
    normal: Annotated[
        list[Path] | None,
        typer.Option("--normal", help="Capture of legitimate traffic; repeatable."),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules", help="File with rules, as `import` reads it; default: the stored rules."
        ),
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Exit with 1 if less than this share of an attack is dropped (%)."
        ),
    ] = None,
    max_collateral: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Exit with 1 if more than this share of legitimate traffic is dropped (%).",
        ),
    ] = None,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show what the rules would do to captured packets.

    Needs root. It uses a separate copy of the filter; live traffic is not affected.

    Example: xdpctl replay attack.pcap --normal monday.pcap --max-collateral 0.1
    """
    from xdpctl.lab.replay.replay import rehearsing

    if max_collateral is not None and not normal:
        raise typer.BadParameter("--max-collateral needs a --normal recording")
    for path in (*recording, *(normal or ())):
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {path}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that mounts are removed
    settings = config.override(config.load(config_file), state_dir=state_dir)
    with rehearsing(settings, rules) as (rehearsal, imported):
        for reject in imported.rejects:
            output.err.print(f"line {reject['line']}: {reject['error']}", markup=False)
        kinds = [("attack", path) for path in recording] + [("normal", p) for p in normal or ()]
        reports, missed = [], list[str]()
        for kind, path in kinds:
            try:
                reports.append(_report(str(path), kind, rehearsal.run(path)))
            except RecordingError as error:  # the other recordings are still reported
                missed.append(str(error))
    missed += _missed(reports, min_coverage, max_collateral)
    found = {"rejected": imported.rejected, "recordings": reports, "missed": missed}
    if not printed(found, form):
        for report in reports:
            _print(report)
        for line in missed:
            output.err.print(f"[red]missed:[/red] {escape(line)}", soft_wrap=True)
    if missed or imported.rejected:
        raise typer.Exit(1)


def _report(name: str, kind: str, tally: "Tally") -> dict[str, Any]:
    skipped = tally.skipped
    return {
        "recording": name,
        "kind": kind,
        "packets": tally.packets,
        "bytes": tally.bytes,
        "dropped": tally.dropped,
        "dropped_share": tally.share,
        "reasons": {reason.name.lower(): n for reason, n in tally.reasons.most_common()},
        "rules": [
            {"reason": reason.name.lower(), "id": identity, "match": text, "packets": count}
            for (reason, identity, text), count in tally.rules.most_common()
        ],
        "not_ip_links": skipped.links,
        "cut_packets": skipped.cut,
        "cut_file": skipped.tail,
    }


def _missed(
    reports: list[dict[str, Any]], coverage: float | None, collateral: float | None
) -> list[str]:
    found = []
    for report in reports:
        share, name = 100 * report["dropped_share"], report["recording"]
        if not report["packets"] and (coverage is not None or collateral is not None):
            found.append(f"{name}: it contains no packets")
            continue
        if report["kind"] == "attack" and coverage is not None and share < coverage:
            found.append(f"{name}: {share:.2f}% is dropped, at least {coverage:g}% is required")
        if report["kind"] == "normal" and collateral is not None and share > collateral:
            found.append(f"{name}: {share:.2f}% is dropped, at most {collateral:g}% is allowed")
    return found


def _print(report: dict[str, Any]) -> None:
    what = {"attack": "coverage", "normal": "collateral"}[report["kind"]]
    output.out.print(
        f"[bold]{escape(report['recording'])}[/bold]: {report['packets']:,} packets, "
        f"{what} {report['dropped_share']:.2%}"
    )
    rows = [(f"  {rule['packets']:,}", rule["reason"], rule["match"]) for rule in report["rules"]]
    with_rule = {rule["reason"] for rule in report["rules"]}
    rows += [
        (f"  {count:,}", reason, "")
        for reason, count in report["reasons"].items()
        if reason not in with_rule
    ]
    output.table((">  packets", "reason", "rule"), rows)
    notes = {
        "packets of link types without IP": report["not_ip_links"],
        "packets truncated by the snapshot length, judged by their captured part": report[
            "cut_packets"
        ],
        "truncated packet at the end of the file": int(report["cut_file"]),
    }
    for text, number in notes.items():
        if number:
            output.err.print(f"[yellow]note:[/yellow] {number:,} {text}")
