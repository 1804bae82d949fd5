# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened when, told as it happens, and which claims did not hold."""

import time
from dataclasses import dataclass, field

from rich.console import Console

out = Console(highlight=False)


@dataclass(slots=True)
class Timeline:
    """Prints what happens with the time it happened, and remembers claims that did not hold."""

    started: float = field(default_factory=time.monotonic)
    failed: list[str] = field(default_factory=list)

    def tell(self, text: str, style: str = "") -> None:
        """Print a line with the seconds since the start."""
        at = f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]"
        out.print(f"{at}  {f'[{style}]{text}[/{style}]' if style else text}", soft_wrap=True)

    def claim(self, holds: bool, text: str) -> None:
        """Print whether a claim holds, and remember it if it does not."""
        mark = "[green]holds[/green] " if holds else "[red]FAILS[/red] "
        self.tell(f"  {mark} {text}")
        if not holds:
            self.failed.append(text)
