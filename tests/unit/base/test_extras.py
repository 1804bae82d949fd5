# SPDX-License-Identifier: GPL-2.0-or-later
"""A missing library is named together with what installs it; bcc is found beside another Python."""

import sys
import tomllib
from pathlib import Path

import pytest

from tests.paths import ROOT
from xdpctl.base.system import extras
from xdpctl.config.settings import Settings
from xdpctl.doctor import files
from xdpctl.errors import SettingsError
from xdpctl.incidents.abuse import Reporter

MINOR = sys.version_info.minor


def test_each_extra_of_the_wheel_is_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.EXTRAS) == set(project["optional-dependencies"])


@pytest.mark.parametrize(
    ("name", "package"), [("fleet", "xdpctl-fleet"), ("bgp", "xdpctl-bgp"), ("xarf", "xdpctl")]
)
def test_a_missing_library_is_named_with_its_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras.need(name)
    monkeypatch.setitem(sys.modules, extras.EXTRAS[name].library, None)
    with pytest.raises(SettingsError) as told:
        extras.need(name)
    assert f"apt-get install {package}," in str(told.value)
    assert f"'xdpctl[{name}]'" in str(told.value)


def test_doctor_names_what_the_settings_ask_for_and_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks = Settings(reporter=Reporter("Example", "abuse@example.org", "example.org", send=True))
    assert not list(files.problems(asks))
    monkeypatch.setitem(sys.modules, "xarf", None)
    assert [subject for subject, *_ in files.problems(asks)] == ["xarf"]
    assert not list(files.problems(Settings()))


def bcc_below(folder: Path) -> Path:
    package = folder / "bcc" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    return package


def test_bcc_of_the_distribution_is_found_for_the_same_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = bcc_below(tmp_path / "modules")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "empty")])
    monkeypatch.setattr(extras, "_FOLDER", tmp_path / "modules")
    monkeypatch.setattr(extras, "_PYTHON", tmp_path / f"python3.{MINOR}")
    found = extras.find_bcc()
    assert found is not None
    assert found.origin == str(package)
    assert extras.bcc_remedy() == "apt-get install python3-bpfcc"
    assert sys.path == [str(tmp_path / "empty")]


def test_bcc_of_another_python_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bcc_below(tmp_path)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(extras, "_FOLDER", tmp_path)
    other = tmp_path / f"python3.{MINOR + 1}"
    monkeypatch.setattr(extras, "_PYTHON", other)
    assert extras.find_bcc() is None
    assert extras.bcc_remedy() == "apt-get install python3-bpfcc", "no Python is installed"
    other.touch()
    assert f"this distribution's is python3.{MINOR + 1}" in extras.bcc_remedy()


def test_a_path_that_has_the_folder_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_FOLDER", tmp_path)
    monkeypatch.setattr(extras, "_PYTHON", tmp_path / f"python3.{MINOR}")
    monkeypatch.setattr(sys, "path", ["/a", str(tmp_path), "/b"])
    assert extras.search_path() == sys.path
