# SPDX-License-Identifier: GPL-2.0-or-later
"""Another version of xdpctl: a copy of the code with changes, which a box can start."""

import shutil
from pathlib import Path

from tests.paths import ROOT

Changes = dict[str, tuple[str, str]]  # by file: a text in it, and what stands in its place

# maps of monitored rules have another size, and no constant that another map depends on
OTHER_SHAPES: Changes = {
    "bpf/abi/observed.h": ("SKETCH_LOG2 = 9", "SKETCH_LOG2 = 8"),
    "xdpctl/abi/sizes.py": ("SKETCH_LOG2 = 9", "SKETCH_LOG2 = 8"),
}
# the flow memory means something else, so it begins anew; 3 s are enough where all flows are busy
OTHER_MEMORY: Changes = {
    "bpf/abi/flows.h": ("BUDGETS_LOG2 = 14", "BUDGETS_LOG2 = 13"),
    "xdpctl/abi/sizes.py": ("BUDGETS_LOG2 = 14", "BUDGETS_LOG2 = 13"),
    "xdpctl/datapath/loader/succession.py": ("LEARN_SECONDS = 30.0", "LEARN_SECONDS = 3.0"),
}
# the program no longer finds rules on single IPv4 addresses, also in its explain program
DEFECTIVE: Changes = OTHER_SHAPES | {
    "bpf/table.bpf.h": ("value = find4(control, address, 32);", "value = 0;"),
}


def change(place: Path, changes: Changes) -> None:
    """Make these changes in a copy of the code."""
    for name, (before, after) in changes.items():
        text = (place / name).read_text()
        assert before in text, f"{name} has changed: {before}"
        (place / name).write_text(text.replace(before, after))


def other_version(place: Path, changes: Changes) -> dict[str, str]:
    """Write the other version to a folder; the environment variables that let Python find it."""
    for folder in ("xdpctl", "api/xdpctl_api", "bpf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    change(place, changes)
    return {"PYTHONPATH": f"{place}:{place / 'api'}", "PYTHONSAFEPATH": "1"}
