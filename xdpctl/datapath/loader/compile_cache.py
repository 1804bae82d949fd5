# SPDX-License-Identifier: GPL-2.0-or-later
"""What was compiled, kept from one start to the next: it takes a second of every restart.

Root loads what lies here into the kernel, so it lies in a folder that only root can write.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xdpctl.base.system.owned_folder import Owned
from xdpctl.errors import ConfigError

_MOST = 16 << 20  # bytes; the filter has one
log = logging.getLogger("xdpctl.kept")


def fingerprint(request: Mapping[str, Any], sources: Iterable[Path]) -> str:
    """Of all that decides what the compiler makes: what it is asked, the sources, itself."""
    compiler = find_spec("bcc")
    origin = Path(compiler.origin) if compiler and compiler.origin else None
    about = [request, platform.machine(), str(origin), origin and origin.stat().st_mtime_ns]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in sorted(sources):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def recall(path: Path, made_from: str) -> Any:
    """What was kept there if it was made from this, else None."""
    try:
        with Owned(path.parent) as folder:
            held = json.loads(folder.read(path.name, _MOST))
        return held["compiled"] if held["made_from"] == made_from else None
    except ConfigError as error:
        log.warning("the filter is compiled anew: %s", error)
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keep(path: Path, made_from: str, compiled: Any) -> None:
    """For the next start; where there is no room or no folder for it, that one compiles again."""
    if not path.parent.is_dir():
        return
    data = json.dumps({"made_from": made_from, "compiled": compiled}).encode()
    try:
        with Owned(path.parent) as folder:
            folder.replace(path.name, data, 0o600)
    except (ConfigError, OSError) as error:
        log.warning("the compiled filter cannot be kept in %s: %s", path, error)
