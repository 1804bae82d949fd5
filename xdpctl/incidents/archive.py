# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence archives of incidents: files, their SHA-256, and an Ed25519 signature (RFC 8032)."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from xdpctl.base.system.signing_key import fingerprint
from xdpctl.errors import EvidenceError

_MANIFEST, _SIGNATURE = "manifest.json", "manifest.sig"
_EACH_MAX = 64 << 20  # maximum bytes of one file when an archive is read
_FILES_MAX = 64
# With other methods, a few bytes of an archive can need gigabytes of memory (LZMA's dictionary).
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_UNSOUND = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verified:
    """The contents of a manifest whose signature is valid."""

    incident: str
    made_at: str
    fingerprint: str
    files: tuple[str, ...]


def archive(
    incident: str, files: Mapping[str, bytes], key: Ed25519PrivateKey, made_at: str
) -> bytes:
    """A zip archive of the files, a manifest, and the manifest's signature."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    manifest = {
        "incident": incident,
        "made_at": made_at,
        "public_key": raw.hex(),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    }
    manifest_bytes = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
        zipped.writestr(_MANIFEST, manifest_bytes)
        zipped.writestr(_SIGNATURE, key.sign(manifest_bytes).hex())
    return out.getvalue()


def verify_archive(path: Path) -> Verified:
    """Verify an archive and return what its manifest says; EvidenceError if it is not valid."""
    try:
        with zipfile.ZipFile(path) as zipped:
            return _verified(zipped)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror or error}") from error
    except _UNSOUND as error:
        raise EvidenceError(f"{path} is not a valid archive: {error}") from error


def _verified(zipped: zipfile.ZipFile) -> Verified:
    names = _names(zipped)
    manifest_bytes = _file(zipped, _MANIFEST)
    manifest, files, public = _manifest(manifest_bytes)
    try:
        public.verify(bytes.fromhex(_file(zipped, _SIGNATURE).decode("ascii")), manifest_bytes)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError("the manifest does not match its signature") from error
    for name in names:
        if name not in files and name not in (_MANIFEST, _SIGNATURE):
            raise EvidenceError(f"{name[:60]!r} is not in the manifest")
    for name, listed in files.items():
        if name not in names:
            raise EvidenceError(f"{name[:60]!r} is missing")
        if hashlib.sha256(_file(zipped, name)).hexdigest() != listed:
            raise EvidenceError(f"{name[:60]!r} was changed: its SHA-256 is not the manifest's")
    incident, made_at = str(manifest["incident"]), str(manifest["made_at"])
    return Verified(incident, made_at, fingerprint(public), tuple(files))


def _names(zipped: zipfile.ZipFile) -> list[str]:
    names = zipped.namelist()
    if len(names) > _FILES_MAX or len(set(names)) != len(names):
        raise EvidenceError("the archive has too many files, or one of them twice")
    if any(info.compress_type not in _COMPRESSIONS for info in zipped.infolist()):
        raise EvidenceError("the archive is compressed by another method than Deflate")
    for name in (_MANIFEST, _SIGNATURE):
        if name not in names:
            raise EvidenceError(f"the archive has no {name}")
    return names


def _manifest(manifest_bytes: bytes) -> tuple[dict[str, Any], dict[str, str], Ed25519PublicKey]:
    try:
        manifest: dict[str, Any] = msgspec.json.decode(manifest_bytes, type=dict[str, Any])
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest["public_key"]))
        _ = manifest["incident"], manifest["made_at"]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError("the manifest cannot be read") from error
    return manifest, files, public


def _file(zipped: zipfile.ZipFile, name: str) -> bytes:
    with zipped.open(name) as file:
        data = file.read(_EACH_MAX + 1)
    if len(data) > _EACH_MAX:
        raise EvidenceError(f"{name[:60]!r} is larger than {_EACH_MAX >> 20} MiB")
    return data
