# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.sbom SBOM SITE-PACKAGES`: completes the SBOM of the package's distributions.

Adds the parts that are no Python distribution, and checks that each has a licence and that none of
the folder is missing.
"""

import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_PLOT = "xdpctl_api/dashboard/static/uPlot.js"  # no distribution; its head has the version
_VERSION = re.compile(r"\(v(\d[\d.]*)\)")
_HEAD = 500  # characters
_UNSAID = {"protobuf": "BSD-3-Clause"}  # by its licence file: its metadata has none


def completed(bom: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The SBOM with all parts; SystemExit if one is missing, or has no licence."""
    version = _VERSION.findall((folder / _PLOT).read_text()[:_HEAD])[0]
    plot = {
        "bom-ref": f"uPlot=={version}",
        "type": "library",
        "name": "uPlot",
        "version": version,
        "purl": f"pkg:npm/uplot@{version}",
        "licenses": [{"license": {"id": "MIT"}}],
    }
    parts = [*bom["components"], plot]
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


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    made = completed(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    print(json.dumps(made, indent=2))
