# SPDX-License-Identifier: GPL-2.0-or-later
"""`replay` beside a running filter: its rules, and its protection."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.questions import block
from tests.support.recordings import recorded
from xdpctl.lab.box import Box
from xdpctl.lab.replay.protection import BY_FILTER, BY_REPLAY


def replayed(box: Box, path: Path) -> Any:
    """Run `replay` outside the box's network namespace, where its addresses do not exist."""
    command = (sys.executable, "-m", "xdpctl", "replay", str(path), "--json", "--state-dir")
    said = subprocess.run((*command, str(box.directory / "state")), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_replay_uses_the_rules_and_protection_of_the_running_filter(
    box: Box, tmp_path: Path
) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    status = json.loads((box.directory / "state" / "loader" / "status.json").read_text())
    own = next(p for p, why in status["protect"].items() if "own" in why and "." in p)
    sources = ("203.0.113.7", own.partition("/")[0], "203.0.113.8")
    path = recorded(tmp_path / "x.pcapng", [(1, source, 60) for source in sources])
    found = replayed(box, path)
    assert (found["found_by"], found["protected"]) == (BY_FILTER, len(status["protect"]))
    reasons = {"dropped": 1, "protected": 1, "no_rule": 1}
    assert found["recordings"][0]["reasons"] == reasons
    box.stop()
    status["beat"] -= 3600
    (box.directory / "state" / "loader" / "status.json").write_text(json.dumps(status))
    assert replayed(box, path)["found_by"] == BY_REPLAY
