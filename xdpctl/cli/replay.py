# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that runs captures through the rules."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xdpctl.cli import options, output
from xdpctl.cli.detectors.rehearsal import rehearse
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.replay_report import missed, print_all, print_report
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.errors import RecordingError

if TYPE_CHECKING:
    from xdpctl.lab.replay.replay import Rehearsal

app = typer.Typer()

_Normal = Annotated[
    list[Path] | None,
    typer.Option("--normal", help="Capture of legitimate traffic; repeatable."),
]
_Rules = Annotated[
    Path | None,
    typer.Option(
        "--rules", help="File with rules, as `import` reads it; default: the stored rules."
    ),
]
_MinCoverage = Annotated[
    float | None,
    typer.Option(
        min=0, max=100, help="Exit with 1 if less than this share of an attack is dropped (%)."
    ),
]
_MaxCollateral = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        help="Exit with 1 if more than this share of legitimate traffic is dropped (%).",
    ),
]
_Protect = Annotated[
    bool,
    typer.Option(
        help="Protect what the running filter protects, or would protect on this host; "
        "--no-protect for a recording of another network."
    ),
]
_Outside = Annotated[
    bool | None,
    typer.Option(
        "--outside/--inside",
        help="Judge packets as on an outside interface, or as on any other; default: outside "
        "if all configured interfaces are.",
    ),
]
_Clock = Annotated[
    bool,
    typer.Option(
        help="Rehearse limits by the recording's clock. --no-clock is for samples, or packets "
        "without times: every packet that a limit matches counts as too fast."
    ),
]
_Detect = Annotated[
    bool,
    typer.Option(
        "--detect",
        help="Show what the embedded detector would have done, instead of the rules; it learns "
        "from --normal. Needs no root.",
    ),
]
_Truth = Annotated[
    Path | None,
    typer.Option(
        help="With --detect: file with one line per packet; it begins with attack or legit."
    ),
]


@app.command()
def replay(
    recording: Annotated[list[Path], typer.Argument(help="Capture of an attack (pcap or pcapng).")],
    normal: _Normal = None,
    rules: _Rules = None,
    min_coverage: _MinCoverage = None,
    max_collateral: _MaxCollateral = None,
    protect: _Protect = True,
    outside: _Outside = None,
    clock: _Clock = True,
    detect: _Detect = False,
    truth: _Truth = None,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show what the rules, or the detector, would do to captured packets.

    Needs root, but not with --detect. It uses a separate copy of the filter; live traffic is not
    affected.

    Example: xdpctl replay attack.pcap --normal monday.pcap --max-collateral 0.1
    """
    if max_collateral is not None and not normal:
        raise typer.BadParameter("--max-collateral needs a --normal recording")
    if truth and not detect:
        raise typer.BadParameter("--truth needs --detect")
    _check_files(*recording, *(normal or ()), *([truth] if truth else ()))
    settings = config.override(config.load(config_file), state_dir=state_dir)
    if detect:
        if any(option is not None for option in (rules, min_coverage, max_collateral, outside)):
            raise typer.BadParameter(
                "--detect goes with --normal and --truth, not with options for rules"
            )
        rehearse(settings, recording, normal or [], truth, form)
        return

    kinds = [("attack", path) for path in recording] + [("normal", p) for p in normal or ()]
    result = _by_rules(settings, rules, protect, outside, clock, kinds)
    result["missed"] += missed(result["recordings"], min_coverage, max_collateral)
    if not printed(result, form):
        print_all(result)
    if result["missed"] or result["rejected"]:
        raise typer.Exit(1)


def _by_rules(
    settings: Settings,
    rules: Path | None,
    protect: bool,
    outside: bool | None,
    clock: bool,
    kinds: list[tuple[str, Path]],
) -> dict[str, Any]:
    """What the rules do to the recordings, of which each has a kind: attack or normal."""
    from xdpctl.lab.replay.protection import all_outside, as_live, nothing
    from xdpctl.lab.replay.replay import rehearsing

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that mounts are removed
    outside = all_outside(settings) if outside is None else outside
    protecting = (as_live if protect else nothing)(settings, outside)
    with rehearsing(settings, rules, protecting, by_clock=clock) as (rehearsal, imported):
        for reject in imported.rejects:
            output.err.print(f"line {reject['line']}: {reject['error']}", markup=False)
        reports, missed = _judged(rehearsal, kinds)
    return {
        "rejected": imported.rejected,
        "protected": len(protecting.protection.why),
        "found_by": protecting.found_by,
        "outside": outside,
        "limits": rehearsal.limits.value,
        "recordings": reports,
        "missed": missed,
    }


def _check_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {path}")


def _judged(
    rehearsal: "Rehearsal", kinds: Iterable[tuple[str, Path]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """A report of each recording, and the errors of recordings that cannot be read."""
    reports, missed = [], list[str]()
    for kind, path in kinds:
        try:
            reports.append(print_report(str(path), kind, rehearsal.run(path)))
        except RecordingError as error:  # the other recordings are still reported
            missed.append(str(error))
    return reports, missed
