# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures of the authority: ECDSA with SHA-256."""

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from xdpctl.fleet.authority.certificates import certificate_of, private_key

_ECDSA = ec.ECDSA(hashes.SHA256())


def signature(key: bytes, data: bytes) -> bytes:
    """The signature of some bytes with a key (PEM)."""
    return private_key(key).sign(data, _ECDSA)


def is_signed(certificate: bytes, signed: bytes, data: bytes) -> bool:
    """Whether a signature of some bytes was made with the key of a certificate (PEM)."""
    public: Any = certificate_of(certificate).public_key()
    try:
        public.verify(signed, data, _ECDSA)
    except InvalidSignature:
        return False
    return True
