# SPDX-License-Identifier: GPL-2.0-or-later
"""This box's Ed25519 key (RFC 8032), which signs incident archives and the head of the audit log.

Importing this module loads the cryptography package, so import it only where it is needed.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def signing_key(path: Path, make: bool = True) -> Ed25519PrivateKey:
    """The private key at `path`; with `make`, a new one is created if there is none.

    EvidenceError if the file cannot be read or is not an Ed25519 key, or if it is missing and
    `make` is false.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not make:
            raise EvidenceError(
                f"there is no key at {path}, so nothing has been signed yet"
            ) from None
        return _made(path)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from error
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(f"{path} is not a private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"{path} is not an Ed25519 key")
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
    """A function that signs with the key at `path`; the key is created at the first signature.

    The function returns `signature`, in hexadecimal, and `signer`, the key's fingerprint.
    """

    def sign(data: bytes) -> dict[str, str]:
        key = signing_key(path)
        return {"signature": key.sign(data).hex(), "signer": fingerprint(key.public_key())}

    return sign


def check_signature(path: Path, data: bytes, signed: Mapping[str, Any]) -> None:
    """EvidenceError unless `signed["signature"]` is a signature of `data` by the key at `path`."""
    try:
        public = signing_key(path, make=False).public_key()
        public.verify(bytes.fromhex(str(signed.get("signature", ""))), data)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError("the signature is not valid") from error


def fingerprint(key: Ed25519PublicKey) -> str:
    """The fingerprint of a key: `SHA256:` and the hash of the raw public key, in hexadecimal."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "SHA256:" + hashlib.sha256(raw).hexdigest()
