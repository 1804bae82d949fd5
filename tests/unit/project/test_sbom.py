# SPDX-License-Identifier: GPL-2.0-or-later
"""The SBOM names everything that the packages contain, with licences."""

from pathlib import Path
from typing import Any

import pytest

from tools import sbom

BUILT = "python3.13 (= 3.13.5-2+deb13u5)"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    plot = tmp_path / sbom._PLOT
    plot.parent.mkdir(parents=True)
    plot.write_text("/*! uPlot.js (v1.6.32) */\n" + "x" * 1000 + "(v9.9)")
    for name in ("Some_Lib", "protobuf", "xdpctl"):
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    return tmp_path


def parts(*names: str) -> dict[str, Any]:
    licence = [{"license": {"id": "MIT"}}]
    found: list[dict[str, Any]] = [
        {"bom-ref": f"{name}==1", "name": name, "version": "1", "licenses": licence}
        for name in names
    ]
    return {"bomFormat": "CycloneDX", "components": found}


def test_what_is_no_distribution_is_added(packages: Path) -> None:
    bom = parts("some-lib", "protobuf")
    del bom["components"][1]["licenses"]
    made = sbom.completed(bom, packages, BUILT)
    found = {part["name"]: part for part in made["components"]}
    assert set(found) == {"some-lib", "protobuf", "uPlot", "python3.13"}
    assert found["uPlot"]["version"] == "1.6.32"
    assert found["python3.13"]["licenses"] == [{"license": {"id": "PSF-2.0"}}]
    assert found["protobuf"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert [part["bom-ref"] for part in made["components"]] == sorted(
        part["bom-ref"] for part in made["components"]
    )
    assert made["bomFormat"] == "CycloneDX"


def test_a_part_that_is_missing_or_has_no_licence_is_refused(packages: Path) -> None:
    with pytest.raises(SystemExit, match=r"lacks \['some-lib'\]"):
        sbom.completed(parts("protobuf"), packages, BUILT)
    bom = parts("some-lib", "protobuf")
    bom["components"][0]["licenses"] = []
    with pytest.raises(SystemExit, match=r"licences of \['some-lib'\]"):
        sbom.completed(bom, packages, BUILT)


def test_the_interpreter_is_named_as_its_distribution_does() -> None:
    made = sbom.interpreter(BUILT, "debian")
    assert made["purl"] == "pkg:deb/debian/python3.13@3.13.5-2%2Bdeb13u5"
    assert made["bom-ref"] == "python3.13==3.13.5-2+deb13u5"


@pytest.mark.parametrize("built", ["", "python3.13", "perl (= 5)", "python3.13 (= 1), x (= 2)"])
def test_a_package_that_names_no_interpreter_is_refused(built: str) -> None:
    with pytest.raises(SystemExit, match="does not say which Python"):
        sbom.interpreter(built, "debian")
