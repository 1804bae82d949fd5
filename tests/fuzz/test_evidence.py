# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log and incident archives, which may have been tampered with."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from tests.fuzz.support.inputs import bodies, changed_json, damaged, json_values
from tests.fuzz.support.loop import fuzz
from xdpctl.control.store.audit import START, Chain, Event, verify
from xdpctl.incidents import archive, rates

_RECORDS = Chain(None).append([Event("a", "b", "c", {"d": [1, None]})] * 3, 1.8e9)


def _forged(value: Any) -> bytes:
    """A record with valid hashes and arbitrary content."""
    record = {"sequence": 1, "previous": START, "detail": value}
    body = json.dumps(record, sort_keys=True).encode()
    return json.dumps({**record, "hash": hashlib.sha256(body).hexdigest()}).encode()


def test_an_audit_log_is_judged_whatever_is_in_it() -> None:
    """The check names the first bad record and raises no exception."""
    assert verify(_RECORDS).problem is None
    first, *_ = (json.loads(one) for one in _RECORDS)
    changed = st.one_of(changed_json([first]), damaged(_RECORDS), json_values.map(_forged))

    def call(given: tuple[int, bytes]) -> None:
        verdict = verify([*_RECORDS[: given[0]], given[1], *_RECORDS])
        assert isinstance(verdict.records, int)
        assert verdict.problem is not None
        assert len(verdict.problem) < 1_000

    fuzz(st.tuples(st.integers(0, 3), changed), call)


def test_damaged_rates_of_an_incident_are_read_as_far_as_possible(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    seed = ",".join(rates.COLUMNS).encode() + b"\n" + b"1.0,2.0,3.0,4.0,5.0,6.0,7.0\n" * 3

    def call(data: bytes) -> None:
        path.write_bytes(data)
        rates.read_rows(path)

    fuzz(damaged([seed]), call)


def _packed(kind: int) -> bytes:
    """A valid archive whose members are compressed with this method."""
    whole = archive.archive("i", {"a.json": b"{}" * 50}, Ed25519PrivateKey.generate(), "now")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as held, zipfile.ZipFile(out, "w", kind) as fresh:
        for name in held.namelist():
            fresh.writestr(name, held.read(name))
    return out.getvalue()


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
                                  zipfile.ZIP_LZMA])  # fmt: skip
def test_an_archive_verifies_or_is_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "x.zip"

    def call(data: bytes) -> None:
        path.write_bytes(data)
        archive.verify_archive(path)

    fuzz(damaged([_packed(kind)]), call)


def test_a_manifest_of_any_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    seed = {
        "incident": "i",
        "made_at": "n",
        "public_key": "00" * 32,
        "files": {"a": {"sha256": "x"}},
    }

    def call(said: bytes) -> None:
        with zipfile.ZipFile(path, "w") as held:
            held.writestr("manifest.json", said)
            held.writestr("manifest.sig", "00" * 64)
        archive.verify_archive(path)

    fuzz(bodies([seed]), call)
