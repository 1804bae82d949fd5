# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the demo's events with timestamps, and the results of its checks."""

import time
from dataclasses import dataclass, field

from rich.console import Console

out = Console(highlight=False)


@dataclass(slots=True)
class Timeline:
    """Prints lines with the time since the start, and collects the checks that failed."""

    started: float = field(default_factory=time.monotonic)
    failed: list[str] = field(default_factory=list)

    def tell(self, text: str, style: str = "") -> None:
        """Print a line with the seconds since the start."""
        at = f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]"
        out.print(f"{at}  {f'[{style}]{text}[/{style}]' if style else text}", soft_wrap=True)

    def claim(self, holds: bool, text: str) -> None:
        """Print whether a check passed; a failed one is added to `failed`."""
        mark = "[green]passed[/green] " if holds else "[red]FAILED[/red] "
        self.tell(f"  {mark} {text}")
        if not holds:
            self.failed.append(text)
