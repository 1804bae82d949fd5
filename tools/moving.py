# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.moving OUT.svg < LINES`: the output of `xdpctl demo` as a moving picture.

The lines appear in their order, faster than they came. Without motion, all of the last lines show.
"""

import re
import sys
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

_ROWS, _WIDTH, _HEIGHT, _LEFT, _TOP = 22, 880, 19, 16, 30
_CLIPPED = 16
_LEAST, _MOST, _HOLD = 0.18, 1.2, 5.0  # seconds: between lines, and at the end
_STYLE = """text{font:13px ui-monospace,monospace;fill:#d7dde4;white-space:pre}
.head{font-weight:700;fill:#fff}.good{fill:#63c585}.bad{fill:#ff8f86}
@media(prefers-reduced-motion:reduce){*{animation:none!important}}"""


def times(lines: Sequence[str]) -> list[float]:
    """When each line appears, in seconds: by the time at its beginning, if it has one."""
    stamps, last = list[float](), 0.0
    for line in lines:
        found = re.match(r" *(\d+\.\d) s", line)
        last = float(found[1]) if found else last
        stamps.append(last)
    at = [_LEAST]
    for before, now in pairwise(stamps):
        at.append(at[-1] + min(max(0.4 * (now - before), _LEAST), _MOST))
    return at


def _kind(line: str) -> str:
    if "    passed  " in line:
        return "good"
    if "    FAILED  " in line:
        return "bad"
    return "head" if re.match(r" *\d+\.\d s  \S", line) else ""


def drawn(lines: Sequence[str]) -> str:
    """The picture."""
    at = times(lines)
    whole = at[-1] + _HOLD
    rules, texts = [_STYLE], []
    for number, (line, second) in enumerate(zip(lines, at, strict=True)):
        begins = 100 * second / whole
        rules.append(
            f"@keyframes l{number}{{0%,{begins:.2f}%{{opacity:0}}"
            f"{begins + 0.01:.2f}%,100%{{opacity:1}}}}"
            f"#l{number}{{animation:l{number} {whole:.1f}s infinite}}"
        )
        kind = f' class="{_kind(line)}"' if _kind(line) else ""
        y = _TOP - _CLIPPED + _HEIGHT * number
        texts.append(f'<text id="l{number}" x="{_LEFT}" y="{y}"{kind}>{escape(line)}</text>')
    up = _HEIGHT * max(len(lines) - _ROWS, 0)
    rules.append(_scrolled(at, whole) + f"#all{{transform:translateY(-{up}px)}}")
    height = _TOP + _HEIGHT * (_ROWS - 1) + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
            'aria-label="The output of xdpctl demo">',
            "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
            f"<style>{''.join(rules)}</style>",
            f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#14181d"/>',
            f'<svg y="{_CLIPPED}" width="{_WIDTH}" height="{height - _CLIPPED}"><g id="all">',
            *texts,
            "</g></svg></svg>",
            "",
        ]
    )


def _scrolled(at: Sequence[float], whole: float) -> str:
    """The animation that moves the lines up, a line at a time."""
    steps = ["0%{transform:translateY(0)}"]
    for over, second in enumerate(at[_ROWS:], 1):
        percent, before = 100 * second / whole, _HEIGHT * (over - 1)
        steps.append(f"{percent:.2f}%{{transform:translateY(-{before}px)}}")
        steps.append(f"{percent + 0.01:.2f}%{{transform:translateY(-{_HEIGHT * over}px)}}")
    steps.append(f"100%{{transform:translateY(-{_HEIGHT * max(len(at) - _ROWS, 0)}px)}}")
    return f"@keyframes up{{{''.join(steps)}}}#all{{animation:up {whole:.1f}s infinite}}"


if __name__ == "__main__":
    shown = [line.rstrip() for line in sys.stdin if line.strip()]
    Path(sys.argv[1]).write_text(drawn(["$ make demo", *shown]))
