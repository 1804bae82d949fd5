# SPDX-License-Identifier: GPL-2.0-or-later
"""Encrypts for a key of the operator, which is on no host, with age (age-encryption.org)."""

import re
from pathlib import Path

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority.tools import piped, tool

_RECIPIENT = re.compile(r"age1[0-9a-z]{20,200}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]{40,1000}( \S+)?")
_SECONDS = 600.0  # for a large file


def check_recipient(recipient: str) -> str:
    """A public key of age or SSH; ConfigError if it is none."""
    if not _RECIPIENT.fullmatch(recipient.strip()):
        raise ConfigError(
            f"{recipient[:6]!r}... is no public key of age or SSH: make one on your own "
            "computer, age-keygen -o fleet.key, and give the line that begins with age1"
        )
    return recipient.strip()


def encrypted(data: bytes, recipient: str) -> bytes:
    """Encrypt some bytes for a public key, as text. EngineError if age refuses it."""
    return piped(tool("age"), "--encrypt", "--armor", "--recipient", recipient, data=data)


def encrypt_file(source: Path, target: Path, recipient: str) -> None:
    """Encrypt a file into another one. EngineError if age fails."""
    words = ("--encrypt", "--recipient", recipient, "--output", str(target), str(source))
    piped(tool("age"), *words, seconds=_SECONDS)


def decrypted(data: bytes, identity: Path) -> bytes:
    """Decrypt with the operator's key; ConfigError if it does not open the data."""
    return _opened(identity, data=data)


def decrypt_file(source: Path, target: Path, identity: Path) -> None:
    """Decrypt a file into another one; ConfigError if the key does not open it."""
    _opened(identity, "--output", str(target), str(source))


def _opened(identity: Path, *words: str, data: bytes = b"") -> bytes:
    if not identity.is_file():
        raise ConfigError(f"{identity} is no file: give the one that age-keygen has written")
    command = (tool("age"), "--decrypt", "--identity", str(identity), *words)
    try:
        return piped(*command, data=data, seconds=_SECONDS)
    except EngineError as error:
        raise ConfigError(f"{identity} does not open it: {error}") from error
