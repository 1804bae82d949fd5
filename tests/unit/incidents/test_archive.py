# SPDX-License-Identifier: GPL-2.0-or-later
"""An incident as an archive whose signature proves its origin."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.support.apiclient import Api
from tests.support.hooked import fastnetmon, say
from tests.unit.cli.test_cli import Api as Client
from tests.unit.cli.test_cli import Run, api, run
from xdpctl.base.system.signing_key import signing_key
from xdpctl.errors import EvidenceError
from xdpctl.incidents import archive

__all__ = ["api", "run"]


def exported(box: Api, tmp_path: Path) -> tuple[str, Path]:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    answer = box.call("GET", f"/v1/incidents/{identity}/export")
    assert answer.headers["content-type"] == "application/zip"
    path = tmp_path / "held.zip"
    path.write_bytes(answer.content)
    return identity, path


def test_an_archive_verifies_and_names_its_author(box: Api, tmp_path: Path) -> None:
    identity, path = exported(box, tmp_path)
    found = archive.verify_archive(path)
    assert found.incident == identity
    assert found.fingerprint == box.call("GET", "/v1/incidents/key").json()["fingerprint"]
    assert (tmp_path / "control" / "incident.key").stat().st_mode & 0o777 == 0o600
    assert set(found.files) == {
        "report.html", "report.md", "incident.json", "sources.csv", "to-provider.txt", "to-ic3.txt",
        "said.ndjson",
    }  # fmt: skip
    with zipfile.ZipFile(path) as held:
        assert json.loads(held.read("incident.json"))["id"] == identity
        assert b"<!doctype html>" in held.read("report.html")


def test_a_changed_archive_does_not_verify(box: Api, tmp_path: Path) -> None:
    _, path = exported(box, tmp_path)
    with zipfile.ZipFile(path) as held:
        parts = {name: held.read(name) for name in held.namelist()}
    other = signing_key(tmp_path / "other.key").sign(parts["manifest.json"]).hex()
    for change, said in (
        ({"sources.csv": b"forged"}, "sources.csv"),
        ({"manifest.json": parts["manifest.json"] + b" "}, "does not match its signature"),
        ({"manifest.sig": other.encode()}, "does not match its signature"),
        ({"manifest.sig": b"zz"}, "does not match its signature"),
        ({"manifest.json": b"[]"}, "cannot be read"),
        ({"more.txt": b"x"}, "not in the manifest"),
        ({"report.md": None}, "missing"),
        ({"manifest.sig": None}, "no manifest.sig"),
    ):
        changed = tmp_path / "changed.zip"
        with zipfile.ZipFile(changed, "w") as held:
            for name, data in (parts | change).items():
                if data is not None:
                    held.writestr(name, data)
        with pytest.raises(EvidenceError, match=said):
            archive.verify_archive(changed)
    (tmp_path / "no.zip").write_bytes(path.read_bytes()[:200])
    for bad in ("no.zip", "none.zip"):
        with pytest.raises(EvidenceError):
            archive.verify_archive(tmp_path / bad)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_what_this_project_writes_is_decompressed(
    box: Api, tmp_path: Path, method: int
) -> None:
    """A few bytes of LZMA may ask for four gigabytes."""
    _, path = exported(box, tmp_path)
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(path) as held, zipfile.ZipFile(packed, "w", method) as made:
        for name in held.namelist():
            made.writestr(name, held.read(name))
    with pytest.raises(EvidenceError, match="another method than Deflate"):
        archive.verify_archive(packed)


def test_an_invalid_key_is_reported(box: Api, tmp_path: Path) -> None:
    (tmp_path / "control" / "incident.key").write_text("no key")
    answer = box.call("GET", "/v1/incidents/key")
    assert answer.status_code == 500
    assert "incident.key" in answer.text


def test_the_command_line_exports_and_verifies(
    api: Client, run: Run, box: Api, tmp_path: Path
) -> None:
    identity, path = exported(box, tmp_path)
    api.answers["GET", f"/v1/incidents/{identity}/export"] = path.read_bytes()
    out = tmp_path / "out.zip"
    assert run("incident", "export", identity, "-w", str(out))[0] == 0
    assert out.read_bytes() == path.read_bytes()
    code, said, _ = run("incident", "verify", str(out))
    fingerprint = archive.verify_archive(out).fingerprint
    assert (code, identity in said, fingerprint in said) == (6, True, True)
    assert run("incident", "verify", str(out), "--key", fingerprint)[0] == 0
    code, _, err = run("incident", "verify", str(out), "--key", "SHA256:other")
    assert (code, "not by the given key" in err) == (1, True)
    api.answers["GET", f"/v1/incidents/{identity}/packets"] = b"pcapng"
    assert (
        run("incident", "export", identity, "--only", "packets", "-w", str(tmp_path / "p"))[0] == 0
    )
    assert (
        run("incident", "export", identity, "--only", "packets", "-w", str(tmp_path / "no" / "p"))[
            0
        ]
        == 2
    )
