# SPDX-License-Identifier: GPL-2.0-or-later
"""The effect of rules on recordings, as Markdown.

`python -m bench.measure.rehearsals RULES RECORDINGS...`

Recordings in a folder called `attack` are attacks; all others are normal traffic.
"""

import sys
from pathlib import Path

from xdpctl.config.settings import Settings
from xdpctl.lab.replay.replay import Rehearsal, Tally, rehearsing

_HEAD = """# Rehearsals

What hand-written signatures do to recorded attacks and to recorded normal traffic: `xdpctl replay`
on whole files, which also hold the answers of the victim and other traffic. `make rehearsals`
writes this page. The rules are in `tests/corpus_signatures.ndjson`, and
[Rehearse a rule](../how-to/spoofed-floods.md#rehearse-a-rule) says how packets are counted.
"""


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _attack(name: str, tally: Tally) -> str:
    section = f"### {name}\n\n{tally.packets:,} packets, {tally.share:.2%} dropped\n\n"
    section += _row("packets", "reason", "rule") + _row("--:", "---", "---")
    for (reason, _, text), count in tally.rules.most_common():
        section += _row(f"{count:,}", reason.name.lower(), f"`{text}`")
    decided = {reason for reason, _, _ in tally.rules}
    for reason, count in tally.reasons.most_common():
        if reason not in decided:
            section += _row(f"{count:,}", reason.name.lower().replace("_", " "), "")
    return section + "\n"


def _page(rehearsal: Rehearsal, recordings: list[Path]) -> str:
    tallies = {path: rehearsal.run(path) for path in recordings}
    attacks = [path for path in recordings if path.parent.name == "attack"]
    normal = [path for path in recordings if path not in attacks]
    lines = _HEAD + "\n## Attacks\n\n"
    lines += _row("recording", "packets", "dropped") + _row("---", "--:", "--:")
    for path in attacks:
        lines += _row(path.stem, f"{tallies[path].packets:,}", f"{tallies[path].share:.2%}")
    lines += "\n" + "".join(_attack(path.stem, tallies[path]) for path in attacks)
    lines += "## Normal traffic\n\n" + _row("recording", "packets", "dropped")
    lines += _row("---", "--:", "--:")
    for path in normal:
        lines += _row(path.stem, f"{tallies[path].packets:,}", f"{tallies[path].dropped:,}")
    return lines


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    rules, *recordings = map(Path, sys.argv[1:])
    with rehearsing(Settings(state_dir=Path("/nonexistent")), rules) as (rehearsal, imported):
        if imported.rejected:
            sys.exit(f"{rules}: {imported.rejects}")
        sys.stdout.write(_page(rehearsal, sorted(recordings)))


if __name__ == "__main__":
    main()
