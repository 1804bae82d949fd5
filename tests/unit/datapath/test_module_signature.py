# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures of module files, by the real ssh-keygen."""

import subprocess
from pathlib import Path

import pytest

from xdpctl.datapath.loader.module_signature import body_of, check, read_signers, sign
from xdpctl.errors import ConfigError, SignatureError, ToolError

BODY = b"MODULE decide(struct view *view) { return PASS; }\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the private keys `one` and `two`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name)
        subprocess.run(command, cwd=folder, check=True)
    return folder


def allowed(keys: Path, key: str, who: str = "ops@example.org", options: str = "") -> bytes:
    """A line of a signers' file."""
    return f"{who} {options} {(keys / f'{key}.pub').read_text()}".encode()


def test_what_a_signer_signed_is_taken_without_its_signature(keys: Path) -> None:
    signed = sign(BODY, "game", keys / "one")
    assert signed.startswith(BODY + b"/*\n-----BEGIN SSH SIGNATURE-----\n")
    assert check(signed, "game", allowed(keys, "one")) == (BODY, "ops@example.org")
    assert body_of(signed) == BODY


def test_a_line_without_its_end_gets_one(keys: Path) -> None:
    signed = sign(BODY.rstrip(), "game", keys / "one")
    assert check(signed, "game", allowed(keys, "one")).body == BODY


def test_a_later_signature_takes_the_place_of_an_earlier_one(keys: Path) -> None:
    signed = sign(sign(BODY, "game", keys / "one"), "game", keys / "two")
    assert check(signed, "game", allowed(keys, "two")).body == BODY
    assert len(signed) == len(sign(BODY, "game", keys / "two"))


def test_what_is_behind_the_signature_is_never_compiled(keys: Path) -> None:
    """A comment with a signature is one only at the end, so what follows makes it text."""
    signed = sign(BODY, "game", keys / "one")
    for more in (b"int other;\n", b"/* x */", b"\n" * 20):
        with pytest.raises(SignatureError, match="not signed"):
            check(signed + more, "game", allowed(keys, "one"))
        assert body_of(signed + more) == signed + more


@pytest.mark.parametrize("name", ["games", "gam", "x"])
def test_a_signature_is_for_one_name(keys: Path, name: str) -> None:
    signed = sign(BODY, "game", keys / "one")
    with pytest.raises(SignatureError, match=f"under the name {name}"):
        check(signed, name, allowed(keys, "one"))


def test_a_text_that_was_changed_is_refused(keys: Path) -> None:
    signed = sign(BODY, "game", keys / "one")
    for place in range(0, len(BODY), 7):
        other = bytearray(signed)
        other[place] ^= 1
        with pytest.raises(SignatureError, match="not for this text"):
            check(bytes(other), "game", allowed(keys, "one"))


def test_the_key_of_a_stranger_is_refused(keys: Path) -> None:
    signed = sign(BODY, "game", keys / "two")
    for signers in (allowed(keys, "one"), b"", b"nonsense\n\xff\n"):
        with pytest.raises(SignatureError, match="does not have"):
            check(signed, "game", signers)
    for nothing in (BODY, b""):
        with pytest.raises(SignatureError, match=r"module sign game\.c"):
            check(nothing, "game", allowed(keys, "one"))


@pytest.mark.parametrize(
    ("options", "who", "taken"),
    [
        ('namespaces="xdpctl-module-*"', "ops", True),
        ('namespaces="file"', "ops", False),
        ("cert-authority", "ops", False),
        ('valid-before="20200101"', "ops", False),
        ("", "*@example.org", True),
        ("", "first,second", True),
        ("", "-x", True),
    ],
)
def test_the_options_of_a_signer_hold(keys: Path, options: str, who: str, taken: bool) -> None:
    signed = sign(BODY, "game", keys / "one")
    signers = b"nonsense\n" + allowed(keys, "two") + allowed(keys, "one", who, options)
    if taken:
        assert check(signed, "game", signers).signer == who.split(",")[0]
    else:
        with pytest.raises(SignatureError):
            check(signed, "game", signers)


def test_without_signers_a_signature_is_left_out(keys: Path) -> None:
    signed = sign(BODY, "game", keys / "two")
    assert check(signed, "other", None) == (BODY, "")
    assert check(BODY, "other", None) == (BODY, "")


def test_a_key_that_does_not_sign_is_told(keys: Path) -> None:
    (keys / "none").write_text("no key")
    (keys / "none").chmod(0o600)
    for key in ("none", "missing"):
        with pytest.raises(SignatureError, match="did not sign"):
            sign(BODY, "game", keys / key)


def test_without_ssh_keygen_the_fix_is_told(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = sign(BODY, "game", keys / "one")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="openssh-client"):
        check(signed, "game", allowed(keys, "one"))


def test_ssh_keygen_that_the_kernel_ends_has_not_refused_a_signature(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign(BODY, "game", keys / "one")
    (tmp_path / "ssh-keygen").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="signal 9"):
        check(signed, "game", allowed(keys, "one"))


def test_signers_that_others_could_write_are_not_read(keys: Path) -> None:
    file = keys / "signers"
    file.write_bytes(allowed(keys, "one"))
    file.chmod(0o644)
    assert read_signers(file) == allowed(keys, "one")
    link = keys / "link"
    link.symlink_to(file)
    file.chmod(0o666)
    for refused in (file, link, keys / "none" / "signers", keys / "no-such-file", keys):
        with pytest.raises(ConfigError):
            read_signers(refused)
    file.chmod(0o644)
    file.write_bytes(bytes(100_000))
    with pytest.raises(ConfigError, match="larger"):
        read_signers(file)
    assert read_signers(None) is None
