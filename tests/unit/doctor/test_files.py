# SPDX-License-Identifier: GPL-2.0-or-later
"""Doctor finds settings that would fail only when they are used, and shows no secret."""

from pathlib import Path

from xdpctl.config.settings import Settings
from xdpctl.doctor.files import problems
from xdpctl.notify.settings import NotifySettings


def test_a_url_that_apprise_cannot_use_is_reported_without_its_secret() -> None:
    urls = ("json://host.example/path", "nonsense://user:secret@host")
    found = list(problems(Settings(notify=NotifySettings(urls=urls))))
    ((subject, text, fix),) = found
    assert subject == "notify.urls"
    assert "URL 2, of the kind 'nonsense'" in text
    assert "secret" not in text + fix


def test_a_missing_or_invalid_geo_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "text.mmdb").write_text("nothing")
    names = (str(tmp_path / "missing.mmdb"), str(tmp_path / "text.mmdb"))
    found = list(problems(Settings(geo_databases=names)))
    assert [subject for subject, _, _ in found] == ["geo_databases"] * 2
    assert "missing.mmdb" in found[0][1]


def test_an_empty_configuration_is_no_problem() -> None:
    assert list(problems(Settings())) == []
