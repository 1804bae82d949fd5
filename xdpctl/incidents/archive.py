# SPDX-License-Identifier: GPL-2.0-or-later
"""One archive of an incident: its files, their SHA-256, and an Ed25519 signature (RFC 8032)."""

import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from xdpctl.base.system.owned_folder import replace_file
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


def signing_key(path: Path, make: bool = True) -> Ed25519PrivateKey:
    """The one at `path`, or a new one; EvidenceError if it is no such key, or there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not make:
            raise EvidenceError(f"there is no key at {path} yet: nothing was signed") from None
        return _made(path)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from error
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(f"{path} is no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"{path} is no Ed25519 key")
    return key


def _made(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        replace_file(path, pem)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from error
    return key


def signer(path: Path) -> Callable[[bytes], dict[str, str]]:
    """What signs with the key at `path`, made at the first signature."""

    def sign(data: bytes) -> dict[str, str]:
        key = signing_key(path)
        return {"signature": key.sign(data).hex(), "signer": fingerprint(key.public_key())}

    return sign


def holds_for(path: Path, data: bytes, held: Mapping[str, Any]) -> None:
    """EvidenceError unless the key at `path` signed the data."""
    try:
        public = signing_key(path).public_key()
        public.verify(bytes.fromhex(str(held.get("signature", ""))), data)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError("the signature does not hold") from error


def fingerprint(key: Ed25519PublicKey) -> str:
    """`SHA256:` and the hash of the raw public key, in hexadecimal."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "SHA256:" + hashlib.sha256(raw).hexdigest()


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
