# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay prints: the comparison of rules with a recording, in tables and sentences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from xdpctl.abi.constants import Reason
from xdpctl.cli import output

if TYPE_CHECKING:
    from xdpctl.lab.replay.replay import Tally


def print_all(result: dict[str, Any]) -> None:
    for line in _how(result):
        output.out.print(line, soft_wrap=True)
    for report in result["recordings"]:
        _print(report)
    for line in result["missed"]:
        output.err.print(f"[red]missed:[/red] {escape(line)}", soft_wrap=True)


def print_report(name: str, kind: str, tally: "Tally") -> dict[str, Any]:
    skipped, clock = tally.skipped, tally.clock
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
        "protected": tally.reasons[Reason.PROTECTED],
        "late": clock.late - clock.set_back,
        "set_back": clock.set_back,
        "timeless": clock.timeless,
    }


def _how(result: dict[str, Any]) -> Iterator[str]:
    """How packets were judged, in lines for people."""
    if result["found_by"]:
        yield f"{result['protected']:,} prefixes are protected, found by {result['found_by']}"
    else:
        yield "nothing is protected"
    if result["outside"]:
        yield "packets are judged as on an outside interface"
    if result["limits"] == "recording":
        yield "limits go by the recording's clock"
    elif result["limits"] == "all":
        yield "limits do not go by a clock: every packet that a limit matches counts as too fast"


def missed(
    reports: list[dict[str, Any]], coverage: float | None, collateral: float | None
) -> list[str]:
    missed = []
    for report in reports:
        share, name = 100 * report["dropped_share"], report["recording"]
        if not report["packets"] and (coverage is not None or collateral is not None):
            missed.append(f"{name}: it contains no packets")
            continue
        if report["kind"] == "attack" and coverage is not None and share < coverage:
            missed.append(f"{name}: {share:.2f}% is dropped, at least {coverage:g}% is required")
        if report["kind"] == "normal" and collateral is not None and share > collateral:
            missed.append(f"{name}: {share:.2f}% is dropped, at most {collateral:g}% is allowed")
    return missed


def _print(report: dict[str, Any]) -> None:
    measure = {"attack": "coverage", "normal": "collateral"}[report["kind"]]
    protected = report["protected"]
    spared = f", {protected:,} passed because their source is protected" if protected else ""
    output.out.print(
        f"[bold]{escape(report['recording'])}[/bold]: {report['packets']:,} packets, "
        f"{measure} {report['dropped_share']:.2%}{spared}",
        soft_wrap=True,
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
        "packets without a time; for limits, they get the time of the one before": report[
            "timeless"
        ],
        "packets late by up to a second; for limits, they get the time of the one before": report[
            "late"
        ],
        "times the recording's clock was set back; for limits, no time passed": report["set_back"],
        "spoofed packets; those that this host sent look spoofed, too: record with "
        "tcpdump -Q in": report["reasons"].get("spoofed", 0),
    }
    for text, number in notes.items():
        if number:
            output.err.print(f"[yellow]note:[/yellow] {number:,} {text}")
