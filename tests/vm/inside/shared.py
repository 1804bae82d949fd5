# SPDX-License-Identifier: GPL-2.0-or-later
"""xdp-tools' filter on an interface that xdpctl shares, with libxdp's dispatcher and without."""

import os
import subprocess
from collections.abc import Iterator

from tests.vm.inside.kinds import pair
from tests.vm.inside.machine import call, sh, until
from xdpctl.lab.namespaces import Host

NAME = "shared0"
TITLE = "beside xdp-filter"
_EARLY, _FAR = "early0", "shared1"
_PATIENCE = 60.0
_BOX, _CLIENT, _OTHER = "10.250.0.1", "10.250.0.2", "10.250.0.3"


def _xdp_filter(*words: str, dispatcher: bool = False) -> bool:
    alone = {} if dispatcher else {"LIBXDP_SKIP_DISPATCHER": "1"}
    done = subprocess.run(("xdp-filter", *words), check=False, env=os.environ | alone)
    return done.returncode == 0


def _program(name: str) -> str:
    return sh("ip", "-details", "link", "show", "dev", name)


def _interface() -> tuple[str, str]:
    """The state of the shared interface, and its detail."""
    interface = call("GET", "/v1/status")[1]["interfaces"][NAME]
    return str(interface["state"]), str(interface["detail"])


def _appears(far: Host, dispatcher: bool) -> None:
    """Make the interface, on which xdp-filter is before xdpctl sees its name."""
    pair(_EARLY, far, _FAR)
    if not _xdp_filter("load", _EARLY, dispatcher=dispatcher):
        raise RuntimeError("xdp-filter does not load")
    sh("ip", "link", "set", _EARLY, "down")
    sh("ip", "link", "set", _EARLY, "name", NAME)
    sh("ip", "link", "set", NAME, "up")


def _answers(far: Host, source: str) -> bool:
    words = ("ping", "-q", "-c", "1", "-W", "2", "-I", source, _BOX)
    return subprocess.run(("ip", "netns", "exec", far.name, *words), check=False).returncode == 0


def _with_dispatcher(far: Host) -> Iterator[tuple[str, bool]]:
    _appears(far, dispatcher=True)
    yield "libxdp has attached its dispatcher", "xdp_dispatcher" in _program(NAME)
    until(lambda: _interface()[0] == "failed", _PATIENCE)
    refused = "LIBXDP_SKIP_DISPATCHER=1" in _interface()[1]
    yield "it is refused with the way, and stays", refused and "xdp_dispatcher" in _program(NAME)
    sh("xdp-loader", "unload", "--all", NAME)
    until(lambda: _interface() == ("attached", ""), _PATIENCE)
    yield "the filter is attached once it is unloaded", "xdp_dispatcher" not in _program(NAME)
    refused = not _xdp_filter("load", NAME, dispatcher=True)
    yield "libxdp refuses to load where xdpctl is", refused and _interface() == ("attached", "")


def _without(far: Host) -> Iterator[tuple[str, bool]]:
    _appears(far, dispatcher=False)
    until(lambda: _interface()[0] == "attached", _PATIENCE)
    yield "without a dispatcher it runs behind xdpctl", "runs behind it" in _interface()[1]
    sh("ip", "address", "add", f"{_BOX}/24", "dev", NAME)
    for address in (_CLIENT, _OTHER):
        far.ip(f"addr add {address}/24 dev {_FAR}")
    _xdp_filter("ip", "-m", "src", _OTHER)
    yield "it drops what it is asked to", _answers(far, _CLIENT) and not _answers(far, _OTHER)
    rule = {"match": f"src {_CLIENT}", "action": "drop", "force": True}
    made = call("POST", "/v1/rules", rule)[1]
    yield "xdpctl drops what it is asked to", not _answers(far, _CLIENT)
    call("DELETE", f"/v1/rules/{made['id']}?force=true")
    yield "and then no longer", _answers(far, _CLIENT)


def checks(far: Host) -> dict[str, bool]:
    """What came true, in order; xdpctl runs, and waits for the interface."""
    until(lambda: _interface()[0] == "absent")
    results = dict(_with_dispatcher(far))
    sh("ip", "link", "del", NAME)
    until(lambda: _interface()[0] == "absent", _PATIENCE)
    return results | dict(_without(far))
