# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers for programs inside a virtual machine: reports and requests to the host, and its xdpctl.

Needs only the distribution's Python. The host reads the second serial port: `@@ name value` reports
a value, and `?? word` requests an action.
"""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SOCKET, _OWNER = Path("/run/xdpctl/api.sock"), Path("/dev/result")
_READY_SECONDS = 240.0


def tell(name: str, value: object) -> None:
    with _OWNER.open("w") as port:
        port.write(f"@@ {name} {value}\n")
    print(name, value, flush=True)


def ask(word: str) -> None:
    """Ask the host for something that this machine cannot do itself."""
    with _OWNER.open("w") as port:
        port.write(f"?? {word}\n")


def sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return (done.stdout + done.stderr).strip()


def call(method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Make a call to the control plane."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(str(_SOCKET))
        asked = http.client.HTTPConnection("xdpctl")
        asked.sock = line
        headers = {"Content-Type": "application/json"}
        asked.request(method, path, json.dumps(body) if body else None, headers)
        answer = asked.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


def until(true: Callable[[], bool], seconds: float = _READY_SECONDS) -> float:
    """Wait for a condition; return the seconds, or raise RuntimeError."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if true():
                return round(time.monotonic() - began, 1)
        except (OSError, ValueError, http.client.HTTPException):
            pass  # not yet
        time.sleep(0.2)
    raise RuntimeError(f"in vain waited for {seconds:g} s")


def port(name: str) -> str:
    """The state of an interface according to the control plane."""
    found = call("GET", "/v1/status")[1]["interfaces"].get(name, {})
    return f"{found.get('state')} {found.get('mode') or ''}".strip()
