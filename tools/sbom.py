# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.sbom SBOM SITE-PACKAGES PYTHON`: completes the SBOM of the distributions.

PYTHON is the source of the interpreter, as Debian's field Built-Using has it: NAME (= VERSION).
Adds the parts that are no Python distribution, and checks that each has a licence and that none of
the folder is missing.
"""

import json
import platform
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

_PLOT = "xdpctl_api/dashboard/static/uPlot.js"  # no distribution; its head has the version
_VERSION = re.compile(r"\(v(\d[\d.]*)\)")
_BUILT = re.compile(r"(python3\.\d+) \(= (\S+)\)")
_HEAD = 500  # characters
_UNSAID = {"protobuf": "BSD-3-Clause"}  # by its licence file: its metadata has none


def completed(bom: dict[str, Any], folder: Path, built: str) -> dict[str, Any]:
    """The SBOM with all parts; SystemExit if one is missing, or has no licence."""
    version = _VERSION.findall((folder / _PLOT).read_text()[:_HEAD])[0]
    plot = _part("uPlot", version, f"pkg:npm/uplot@{version}", "MIT")
    parts = [*bom["components"], plot, interpreter(built, platform.freedesktop_os_release()["ID"])]
    for part in parts:
        if not part.get("licenses") and part["name"] in _UNSAID:
            part["licenses"] = [{"license": {"id": _UNSAID[part["name"]]}}]
    named = {_normal(part["name"]) for part in parts} | {"xdpctl"}
    there = {_normal(distribution.name) for distribution in distributions(path=[str(folder)])}
    missing = sorted(there - named)
    unlicensed = sorted(part["name"] for part in parts if not part.get("licenses"))
    if missing or unlicensed:
        raise SystemExit(f"the SBOM lacks {missing}, and the licences of {unlicensed}")
    return bom | {"components": sorted(parts, key=lambda part: str(part["bom-ref"]))}


def interpreter(built: str, distribution: str) -> dict[str, Any]:
    """The part that is the distribution's Python; SystemExit if `built` is not of its form."""
    if not (named := _BUILT.fullmatch(built)):
        raise SystemExit(f"the package does not say which Python it has: {built!r}")
    name, version = named.groups()
    purl = f"pkg:deb/{distribution}/{name}@{quote(version)}"
    return _part(name, version, purl, "PSF-2.0")


def _part(name: str, version: str, purl: str, licence: str) -> dict[str, Any]:
    return {
        "bom-ref": f"{name}=={version}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"id": licence}}],
    }


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    made = completed(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3])
    print(json.dumps(made, indent=2))
