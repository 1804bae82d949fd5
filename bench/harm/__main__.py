# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm OUT.json`: play every scenario, each on a box of its own."""

import json
import platform
import sys
import time
from pathlib import Path

from bench.detection.live import scene
from bench.harm.scenarios import SCENARIOS

_YOUNG_SECONDS = 30.0


def main(out: Path) -> None:
    """Write the share of each scenario, as it comes."""
    found: dict[str, float] = {}
    for each in SCENARIOS:
        began = time.monotonic()
        with scene("bridge", taught=each.old) as made:
            time.sleep(max(0.0, 0.0 if each.old else began + _YOUNG_SECONDS - time.monotonic()))
            found[each.name] = round(each.play(made), 4)
        print(f"{found[each.name]:7.1%}  {each.name}", flush=True)
        out.write_text(
            json.dumps({"kernel": platform.release().partition("-")[0], "shares": found}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
