# SPDX-License-Identifier: GPL-2.0-or-later
"""FastNetMon 1.2 from the distribution on the box's interface, with the script in packaging/."""

import sys
import time
from pathlib import Path

from tests.lab.conftest import SERVER, Street
from tests.lab.detectors.daemons import PACKAGING, daemon, installed, script
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

OURS = 18461
FLOOD = [f"203.0.113.{n}" for n in range(1, 100)]
CHANGED = {
    "disable_usage_report": "on",
    "ban_time": "20",
    "threshold_pps": "2000",
    "ban_for_pps": "on",
    "mirror_afpacket": "on",
    "interfaces": "isp0",
    "monitor_local_ip_addresses": "off",
}


def configure(folder: Path, notify: Path) -> Path:
    """The distribution's own file, with what a first user changes."""
    named = {
        "networks_list_path": folder / "networks_list",
        "white_list_path": folder / "networks_whitelist",
        "notify_script_path": notify,
        "pid_path": folder / "fastnetmon.pid",
        "cli_stats_file_path": folder / "fastnetmon.dat",
        "cli_stats_ipv6_file_path": folder / "fastnetmon_ipv6.dat",
        "logging:local_log": "",
    }
    changed = CHANGED | {name: str(path) for name, path in named.items() if str(path)}
    kept = [
        line
        for line in Path("/etc/fastnetmon.conf").read_text().splitlines()
        if line.split("=")[0].strip() not in changed
    ]
    (folder / "networks_list").write_text(f"{SERVER}/32\n")
    (folder / "networks_whitelist").touch()
    path = folder / "fastnetmon.conf"
    path.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in changed.items())]))
    return path


def test_the_script_of_fastnetmon_holds_a_flood(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    installed("fastnetmon")
    street_box.port = OURS
    street_box.start()
    body = {"name": "fnm", "role": "detector", "origin": "fastnetmon"}
    (tmp_path / "token").write_text(
        street_box.client.call("POST", "/v1/tokens", json=body)["secret"]
    )
    tools = tmp_path / "bin"
    tools.mkdir()
    script(tools / "xdpctl", f'exec {sys.executable} -m xdpctl "$@"')
    notify = script(
        tmp_path / "notify.sh",
        f"export PATH={tools}:$PATH XDPCTL_URL=http://127.0.0.1:{OURS}",
        f"export XDPCTL_TOKEN_FILE={tmp_path}/token",
        f'exec sh {PACKAGING}/fastnetmon-notify.sh "$@" >> {tmp_path}/notified 2>&1',
    )
    words = tmp_path / "words"
    command = ("fastnetmon", "--configuration_file", str(configure(tmp_path, notify)))
    with daemon(street.server, words, *command, "--log_to_console"):
        time.sleep(3)  # it says nothing when it is ready
        with street.flood(FLOOD):
            assert eventually(lambda: any(street_box.client.pages())), told(tmp_path)
            (rule,) = street_box.client.pages()
            assert rule["origin"] == "fastnetmon"
            assert rule["text"].startswith(f"dst {SERVER} proto udp")
            assert eventually(lambda: counted(street_box, Reason.LIMITED) > 10_000)
        gone = eventually(lambda: not any(street_box.client.pages()))
        assert gone, "it unbans after its ban_time, and the rule ends with that"
    (held,) = street_box.client.call("GET", "/v1/incidents")["incidents"]
    assert (held["subject"], held["open"]) == (f"{SERVER}/32", False)


def told(folder: Path) -> str:
    names = ("words", "notified")
    return "\n".join((folder / n).read_text() for n in names if (folder / n).exists())[-3000:]
