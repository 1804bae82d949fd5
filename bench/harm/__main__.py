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
    shares: dict[str, float] = {}
    for scenario in SCENARIOS:
        began = time.monotonic()
        with scene("bridge", taught=scenario.old) as box:
            time.sleep(max(0.0, 0.0 if scenario.old else began + _YOUNG_SECONDS - time.monotonic()))
            shares[scenario.name] = round(scenario.play(box), 4)
        print(f"{shares[scenario.name]:7.1%}  {scenario.name}", flush=True)
        out.write_text(
            json.dumps({"kernel": platform.release().partition("-")[0], "shares": shares}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
