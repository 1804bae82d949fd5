# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures of module files, as `ssh-keygen -Y` makes and checks them (OpenSSH's PROTOCOL.sshsig).

A signature is the last comment of the file. It is for all bytes before that, and for the module's
name, so a file that was signed as one module is refused as another. Only these bytes are compiled.
"""

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from xdpctl.base.system.owned_folder import Owned
from xdpctl.errors import ConfigError, SignatureError, ToolError

_COMMENT = re.compile(
    rb"/\*\n(-----BEGIN SSH SIGNATURE-----\n(?:[A-Za-z0-9+/=]{1,76}\n){1,100}"
    rb"-----END SSH SIGNATURE-----\n)\*/\s{0,9}\Z"
)
_SIGNERS_MOST = 64 << 10  # bytes
_NAMES_MOST = 8  # of a key in the signers' file that are tried
_SECONDS = 10.0


class Checked(NamedTuple):
    """What is compiled, and who signed it; "" if that was not asked."""

    body: bytes
    signer: str = ""


def body_of(data: bytes) -> bytes:
    """A module file without its signature."""
    found = _COMMENT.search(data)
    return data[: found.start()] if found else data


def read_signers(file: Path | None) -> bytes | None:
    """Who may sign, in the form of ALLOWED SIGNERS in ssh-keygen(1); None if that is not asked.

    ConfigError if there is no such file, it is too large, or other users could write it.
    """
    if file is None:
        return None
    try:
        if not file.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with Owned(file.parent) as folder:
            return folder.read(file.name, _SIGNERS_MOST)
    except OSError as error:
        raise ConfigError(f"modules.signers: {file}: {error.strerror}") from error


def check(data: bytes, name: str, signers: bytes | None) -> Checked:
    """The module in a file that one of the signers, if there are any, has signed under this name.

    SignatureError if none has. ToolError if ssh-keygen is missing, or does not end.
    """
    found = _COMMENT.search(data)
    if signers is None:
        return Checked(body_of(data))
    if found is None:
        raise SignatureError(f"it is not signed; sign it: xdpctl module sign {name}.c --key FILE")
    body = data[: found.start()]
    with _held(found[1]) as signature, _held(signers) as allowed:
        passed = (signature, allowed)
        files = ("-s", _path(signature), "-f", _path(allowed))
        known = _ask(("find-principals", *files), b"", passed).stdout.decode(errors="replace")
        for signer in known.splitlines()[:_NAMES_MOST]:
            asked = ("verify", *files, "-I", signer, "-n", _namespace(name))
            if _ask(asked, body, passed).returncode == 0:
                return Checked(body, signer)
    if not known:
        raise SignatureError("its signature is by a key that modules.signers does not have")
    raise SignatureError(
        f"its signature is not for this text under the name {name}, or its key may not sign it; "
        f"sign it again: xdpctl module sign {name}.c --key FILE"
    )


def sign(data: bytes, name: str, key: Path) -> bytes:
    """A module file with a signature in place of an earlier one.

    `key` is a private key, or a public one whose private key ssh-agent has. ssh-keygen asks for a
    passphrase, or for a touch of the token, at the terminal. SignatureError if it does not sign.
    """
    body = body_of(data)
    if not body.endswith(b"\n"):
        body += b"\n"
    command = (_keygen(), "-q", "-Y", "sign", "-f", str(key), "-n", _namespace(name))
    done = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=False)  # noqa: S603  # no shell
    signed = body + b"/*\n" + done.stdout + b"*/\n"
    if done.returncode != 0 or body_of(signed) != body:
        raise SignatureError(f"ssh-keygen did not sign with {key}; the file is as before")
    return signed


def _namespace(name: str) -> str:
    return f"xdpctl-module-{name}"


def _keygen() -> str:
    if (found := shutil.which("ssh-keygen")) is None:
        raise ToolError("signatures need ssh-keygen: apt-get install openssh-client")
    return found


@contextmanager
def _held(data: bytes) -> Iterator[int]:
    """A file without a path that has these bytes."""
    fd = os.memfd_create("xdpctl")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _ask(
    words: tuple[str, ...], data: bytes, passed: tuple[int, ...]
) -> "subprocess.CompletedProcess[bytes]":
    try:
        done = subprocess.run(  # noqa: S603  # no shell; signers are names from root's file
            (_keygen(), "-Y", *words),
            input=data,
            capture_output=True,
            env={"LC_ALL": "C"},
            pass_fds=passed,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"ssh-keygen did not end within {_SECONDS:.0f} s") from None
    if done.returncode < 0:  # it has not said that the signature is wrong
        raise ToolError(f"ssh-keygen was ended by signal {-done.returncode}")
    return done
