# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm.next_version FOLDER`: a copy of the checkout whose maps have other shapes.

The package that is built in it is the version to which tests/vm/life.py upgrades.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT
from tests.support.other_version import OTHER_SHAPES, change


def main() -> None:
    place = Path(sys.argv[1])
    shutil.rmtree(place, ignore_errors=True)
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    change(place, OTHER_SHAPES)


if __name__ == "__main__":
    main()
