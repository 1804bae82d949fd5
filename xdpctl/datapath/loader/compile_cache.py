# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache of the compiled programs, which saves about a second at each restart.

Root loads the cached programs into the kernel, so the cache is in a folder only root can write.
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

_MOST = 16 << 20  # bytes; the compiled filter has about 1 MiB
log = logging.getLogger("xdpctl.kept")


def fingerprint(request: Mapping[str, Any], sources: Iterable[Path]) -> str:
    """A hash of everything that determines the result: the request, the sources, the compiler."""
    compiler = find_spec("bcc")
    origin = Path(compiler.origin) if compiler and compiler.origin else None
    about = [request, platform.machine(), str(origin), origin and origin.stat().st_mtime_ns]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for path in sorted(sources):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def load_cached(path: Path, made_from: str) -> Any:
    """The cached programs if their fingerprint is `made_from`, else None."""
    try:
        with Owned(path.parent) as folder:
            record = json.loads(folder.read(path.name, _MOST))
        return record["compiled"] if record["made_from"] == made_from else None
    except ConfigError as error:
        log.warning("the cached filter is not used, and the filter is compiled again: %s", error)
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def store_cached(path: Path, made_from: str, compiled: Any) -> None:
    """Cache the compiled programs; if that fails, the next start compiles again."""
    if not path.parent.is_dir():
        return
    data = json.dumps({"made_from": made_from, "compiled": compiled}).encode()
    try:
        with Owned(path.parent) as folder:
            folder.replace(path.name, data, 0o600)
    except (ConfigError, OSError) as error:
        log.warning("the compiled filter cannot be cached in %s: %s", path, error)
