# SPDX-License-Identifier: GPL-2.0-or-later
"""What root writes for the BGP speaker: read by that user alone, and accepted by ExaBGP."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support.upstream import PEER, table
from xdpctl.base.system import extras
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError, SettingsError
from xdpctl.processes.speaker import files
from xdpctl.processes.speaker.files import prepare
from xdpctl.processes.speaker.process import SpeakerProcess
from xdpctl.upstream.bgp import exabgp

SIX = PEER | {
    "name": "six",
    "address": "2001:db8:1::1",
    "local_address": "2001:db8:1::2",
    "flowspec": False,
}


def settings(tmp_path: Path, *peers: dict[str, object]) -> Settings:
    return Settings(state_dir=tmp_path, upstream=table(*peers))


def password(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_only_the_speaker_can_read_its_files(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "root")
    tmp_path.chmod(0o755)
    wanted = settings(tmp_path, PEER | {"password_file": password(tmp_path, "s3cret\n")})
    prepare(wanted)
    user = pwd.getpwnam("xdpctl-bgp").pw_uid
    for name in ("exabgp.conf", "setup.json"):
        about = (tmp_path / "bgp" / name).stat()
        assert (about.st_uid, about.st_mode & 0o777) == (user, 0o400)
    folder = (tmp_path / "bgp").stat()
    assert (folder.st_uid, folder.st_mode & 0o7777) == (user, 0o2750)
    left = tmp_path / "bgp" / "gobgpd-0.toml"
    left.write_text("of another speaker")
    prepare(wanted)
    assert not left.exists(), "it may have passwords"
    assert 'md5-password "s3cret"' in (tmp_path / "bgp" / "exabgp.conf").read_text()
    setup = json.loads((tmp_path / "bgp" / "setup.json").read_text())
    assert setup["own"] == ["198.51.100.0/24", "2001:db8::/32"]
    assert setup["users"] == [0, pwd.getpwnam("xdpctl").pw_uid]
    assert "s3cret" not in str(setup)


def test_exabgp_accepts_the_configuration(tmp_path: Path) -> None:
    peers = table(PEER | {"mode": "auto"}, SIX).peers
    text = exabgp.configuration(peers, [sys.executable, "-c", "pass"], {"six": "word"})
    path = tmp_path / "exabgp.conf"
    path.write_text(text)
    words = [sys.executable, "-I", "-m", "exabgp", "validate", str(path)]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | exabgp.ENVIRONMENT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ipv4 flow" in text.split("neighbor 2001")[0]
    assert "flow" not in text.split("neighbor 2001")[1]


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("k3y", 0o644, "everybody can read"),
        ('w"ord', 0o600, "printable ASCII"),
        ("w;ord", 0o600, "printable ASCII"),
        ("two\nlines", 0o600, "printable ASCII"),
        ("pässword", 0o600, "printable ASCII"),
        ("x" * 81, 0o600, "printable ASCII"),
        ("", 0o600, "printable ASCII"),
    ],
)
def test_a_password_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    path = Path(password(tmp_path, text, mode))
    with pytest.raises(SettingsError, match=said) as refused:
        files._password(path)
    assert not text or text not in str(refused.value), "it is never shown"


def test_a_missing_program_or_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"upstream\.peers"):
        prepare(Settings(state_dir=tmp_path))
    for name, said in (("nobody-of-that-name", "no user nobody"), ("root", "the speaker's own")):
        with monkeypatch.context() as other:
            other.setattr(files, "SPEAKER_USER", name)
            with pytest.raises((ConfigError, SettingsError), match=said):
                prepare(settings(tmp_path))
    with pytest.raises(ConfigError, match="password of a peer cannot be read"):
        files._password(tmp_path / "none")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="apt-get install xdpctl-bgp"):
        prepare(settings(tmp_path))


def test_without_a_speaker_everything_else_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SPEAKER_USER", "nobody-of-that-name")
    process = SpeakerProcess(settings(tmp_path))
    process.keep()
    process.keep()
    assert [r.getMessage()[:29] for r in caplog.records] == ["the BGP speaker does not run:"]
    process.stop()
