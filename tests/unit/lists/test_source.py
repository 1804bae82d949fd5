# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources of lists: only files in feeds.directory, and allowed URLs, in any format."""

import gzip
import os
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.support.spaces import prefixes_of
from tests.support.webserver import Server, answer
from xdpctl.errors import FetchError, RuleError
from xdpctl.lists.formats import Feed
from xdpctl.lists.settings import FeedSettings
from xdpctl.lists.source import Limits, ListSource
from xdpctl.model.source_set import FeedSource, SourceSet

LIMITS = Limits(max_bytes=1000, max_entries=50)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """feeds.directory, beside which a secret lies."""
    made = tmp_path / "sets"
    (made / "deep").mkdir(parents=True)
    (made / "bad.txt").write_text("45.0.0.1\n45.0.0.2\n")
    (made / "deep" / "bad.csv").write_text("id,ip\n1,45.0.0.3\n")
    (tmp_path / "secret").write_text("45.9.9.9\n")
    (tmp_path / "sets-too").write_text("45.9.9.9\n")
    return made


@pytest.fixture
def loader(lists: Path) -> ListSource:
    return ListSource(FeedSettings(directory=lists, allow_private=True, allow_http=True), LIMITS)


def shown(loaded: tuple[Feed, FeedSource] | None) -> list[str]:
    assert loaded
    return [str(prefix) for prefix in prefixes_of(loaded[0].keys)]


def test_a_file_is_read_again_only_when_it_changed(loader: ListSource, lists: Path) -> None:
    loaded = loader.load(FeedSource(file="bad.txt"))
    assert shown(loaded) == ["45.0.0.1/32", "45.0.0.2/32"]
    assert loaded
    source = loaded[1]
    assert source.last_modified
    assert loader.load(source) is None
    (lists / "bad.txt").write_text("45.0.0.7\n")
    os.utime(lists / "bad.txt", ns=(1, 1))
    again = loader.load(source)
    assert shown(again) == ["45.0.0.7/32"]
    assert again
    assert again[1].last_modified == "1"


def test_a_file_may_be_in_a_subfolder_and_compressed(loader: ListSource, lists: Path) -> None:
    assert shown(loader.load(FeedSource(file="deep/bad.csv"))) == ["45.0.0.3/32"]
    assert shown(loader.load(FeedSource(file="deep/../bad.txt")))[0] == "45.0.0.1/32"
    (lists / "bad.gz").write_bytes(gzip.compress(b"45.0.0.4\n"))
    assert shown(loader.load(FeedSource(file="bad.gz"))) == ["45.0.0.4/32"]
    (lists / "link").symlink_to("bad.txt")
    assert len(shown(loader.load(FeedSource(file="link")))) == 2


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "deep/../../secret", "../sets-too", "out", "dir/secret"]
)
def test_no_name_or_link_leads_out_of_the_directory(
    loader: ListSource, lists: Path, name: str
) -> None:
    (lists / "out").symlink_to(lists.parent / "secret")
    (lists / "dir").symlink_to(lists.parent)
    for call in (loader.check, loader.load):
        with pytest.raises(RuleError, match="is not in") as caught:
            call(FeedSource(file=name))
        assert caught.value.field == "feed.file"
        assert caught.value.fix


def test_a_link_placed_later_is_not_followed_either(loader: ListSource, lists: Path) -> None:
    loader.check(FeedSource(file="later"))
    (lists / "later").symlink_to(lists.parent / "secret")
    with pytest.raises(RuleError, match="is not in"):
        loader.load(FeedSource(file="later"))


def test_the_directory_itself_may_be_a_link(lists: Path) -> None:
    (lists.parent / "alias").symlink_to(lists)
    loader = ListSource(FeedSettings(directory=lists.parent / "alias"), LIMITS)
    assert len(shown(loader.load(FeedSource(file="bad.txt")))) == 2


def test_an_unreadable_file_is_reported_with_its_path(loader: ListSource, lists: Path) -> None:
    with pytest.raises(FetchError, match=r"sets/none: No such file"):
        loader.load(FeedSource(file="none"))
    with pytest.raises(FetchError, match="sets/deep"):
        loader.load(FeedSource(file="deep"))
    (lists / "large").write_text("45.0.0.1\n" * 112)
    with pytest.raises(FetchError, match="larger than 1000 bytes"):
        loader.load(FeedSource(file="large"))
    (lists / "html").write_text("<html></html>")
    with pytest.raises(RuleError, match="HTML"):
        loader.load(FeedSource(file="html"))


def test_a_name_that_no_file_can_have_is_refused(loader: ListSource) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises((RuleError, FetchError)):
            loader.load(FeedSource(file=name))


def test_limits_apply_to_files_and_bodies_alike(loader: ListSource, lists: Path) -> None:
    many = "\n".join(f"45.0.0.{n}" for n in range(51))
    with pytest.raises(RuleError, match="at most 50"):
        loader.parse(many.encode(), "auto", "")
    (lists / "many").write_text(many)
    with pytest.raises(RuleError, match="at most 50"):
        loader.load(FeedSource(file="many"))
    with pytest.raises(RuleError, match="at most 1000"):
        loader.parse(gzip.compress(b"45.0.0.1\n" * 112), "auto", "")


def test_a_url_is_requested_with_its_known_version(loader: ListSource) -> None:
    first = answer(b"45.0.0.1\n", 'ETag: "v1"')
    unchanged = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    with closing(Server(first, unchanged, answer(status="500 Oops"))) as server:
        loaded = loader.load(FeedSource(url=server.url))
        assert shown(loaded) == ["45.0.0.1/32"]
        assert loaded
        source = loaded[1]
        assert (source.etag, source.url) == ('"v1"', server.url)
        assert loader.load(source) is None
        with pytest.raises(FetchError, match="500"):
            loader.load(source)
    assert 'If-None-Match: "v1"' in server.requests[1]


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (FeedSource(), "feed"),
        (FeedSource(url="https://feeds.test/", file="bad.txt"), "feed"),
        (FeedSource(url="ftp://feeds.test/"), "url"),
        (FeedSource(url="https://user:word@feeds.test/"), "url"),
        (FeedSource(url="https://feeds.test/", refresh=59.9), "feed.refresh"),
        (FeedSource(url="https://feeds.test/", refresh=30 * 86400 + 1), "feed.refresh"),
        (FeedSource(url="https://feeds.test/", refresh=float("nan")), "feed.refresh"),
    ],
)
def test_an_obviously_invalid_source_is_refused_at_once(
    loader: ListSource, source: FeedSource, field: str
) -> None:
    with pytest.raises(RuleError) as caught:
        loader.check(source)
    assert caught.value.field == field
    assert caught.value.fix


def test_the_settings_restrict_the_hosts_of_a_url(lists: Path) -> None:
    strict = ListSource(FeedSettings(directory=lists), LIMITS)
    for url in ("http://feeds.test/", "https://10.0.0.1/"):
        with pytest.raises(RuleError):
            strict.check(FeedSource(url=url))
    strict.check(FeedSource(url="https://feeds.test/"))


def test_a_changed_interval_leaves_the_source_unchanged(loader: ListSource) -> None:
    feed = FeedSource(url="https://feeds.test/", etag='"v1"')
    held = SourceSet(name="bad", slot=65, feed=feed)
    assert loader.every(held, "15m") == structs.replace(feed, refresh=900.0)
    assert loader.every(held, 60).refresh == 60
    for wrong in ("soon", "1s", 5, 1e9):
        with pytest.raises(RuleError) as caught:
            loader.every(held, wrong)
        assert "refresh" in caught.value.field
    with pytest.raises(RuleError, match="has no feed"):
        loader.every(held.replace(feed=None), 900)


def test_an_unknown_format_is_refused(loader: ListSource) -> None:
    with pytest.raises(RuleError, match="'yaml' is not a format") as caught:
        loader.parse(b"45.0.0.1", "yaml", "")
    assert "plain" in caught.value.fix
