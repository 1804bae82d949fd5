# SPDX-License-Identifier: GPL-2.0-or-later
"""One archive of an incident: its files, their SHA-256, and an Ed25519 signature (RFC 8032)."""

import hashlib
import io
import lzma
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
_EACH_MAX = 64 << 20  # bytes of a file in an archive that is read
_FILES_MAX = 64
_UNSOUND = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError),
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What an archive says of itself, and its signature holds for."""

    incident: str
    made_at: str
    fingerprint: str
    files: tuple[str, ...]


def archive(
    incident: str, files: Mapping[str, bytes], key: Ed25519PrivateKey, made_at: str
) -> bytes:
    """A zip of the files, a manifest, and the manifest's signature."""
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
    said = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as held:
        for name, data in files.items():
            held.writestr(name, data)
        held.writestr(_MANIFEST, said)
        held.writestr(_SIGNATURE, key.sign(said).hex())
    return out.getvalue()


def verify_archive(path: Path) -> Verified:
    """EvidenceError says what does not hold."""
    try:
        with zipfile.ZipFile(path) as held:
            return _verified(held)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror or error}") from error
    except _UNSOUND as error:
        raise EvidenceError(f"{path} is no sound archive: {error}") from error


def _verified(held: zipfile.ZipFile) -> Verified:
    names = held.namelist()
    if len(names) > _FILES_MAX or len(set(names)) != len(names):
        raise EvidenceError("more files than there can be, or one twice")
    for name in (_MANIFEST, _SIGNATURE):
        if name not in names:
            raise EvidenceError(f"there is no {name} in it")
    said = _file(held, _MANIFEST)
    manifest, files, public = _manifest(said)
    try:
        public.verify(bytes.fromhex(_file(held, _SIGNATURE).decode("ascii")), said)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError("the manifest is not what was signed") from error
    for name in names:
        if name not in files and name not in (_MANIFEST, _SIGNATURE):
            raise EvidenceError(f"{name[:60]!r} is not in the manifest")
    for name, listed in files.items():
        if name not in names:
            raise EvidenceError(f"{name[:60]!r} is missing")
        if hashlib.sha256(_file(held, name)).hexdigest() != listed:
            raise EvidenceError(f"{name[:60]!r} is not as it was")
    told = str(manifest["incident"]), str(manifest["made_at"])
    return Verified(*told, fingerprint(public), tuple(files))


def _manifest(said: bytes) -> tuple[dict[str, Any], dict[str, str], Ed25519PublicKey]:
    try:
        manifest: dict[str, Any] = msgspec.json.decode(said, type=dict[str, Any])
        files = {str(name): str(one["sha256"]) for name, one in manifest["files"].items()}
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest["public_key"]))
        _ = manifest["incident"], manifest["made_at"]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError("the manifest cannot be read") from error
    return manifest, files, public


def _file(held: zipfile.ZipFile, name: str) -> bytes:
    with held.open(name) as file:
        data = file.read(_EACH_MAX + 1)
    if len(data) > _EACH_MAX:
        raise EvidenceError(f"{name[:60]!r} is larger than {_EACH_MAX >> 20} MiB")
    return data
