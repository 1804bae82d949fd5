"""What was compiled, kept from one start to the next: it takes a second of every restart.

The file may lie in somebody else's folder, so only one that nobody else could write is believed.
"""

import hashlib
import json
import logging
import os
import platform
import stat
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(fd, encoding="utf-8") as file:
        about = os.fstat(fd)
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            log.warning("others could have written %s; the filter is compiled anew", path)
            return None
        try:
            held = json.load(file)
            return held["compiled"] if held["made_from"] == made_from else None
        except (ValueError, KeyError, TypeError):
            return None


def keep(path: Path, made_from: str, compiled: Any) -> None:
    """For the next start; where there is no room or no folder for it, that one compiles again."""
    if not path.parent.is_dir():
        return
    fresh = path.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(fresh, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump({"made_from": made_from, "compiled": compiled}, file)
        fresh.replace(path)
    except OSError as error:
        log.warning("the compiled filter cannot be kept in %s: %s", path, error.strerror)
