# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the list of a set from its URL or from a file on this host."""

from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from xdpctl.base.durations import parse_duration
from xdpctl.errors import FetchError, RuleError
from xdpctl.lists.formats import Feed, read
from xdpctl.lists.settings import FeedSettings, FetchPolicy
from xdpctl.model.feed_format import FeedFormat
from xdpctl.model.source_set import FeedSource, SourceSet, check_refresh


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum size of a list in bytes, unpacked, and its maximum number of entries."""

    max_bytes: int
    max_entries: int


class ListSource:
    """Loads lists from URLs and files, as far as the settings permit."""

    def __init__(self, settings: FeedSettings, limits: Limits) -> None:
        self.limits = limits
        self._directory = settings.directory
        self._policy = FetchPolicy(
            max_bytes=limits.max_bytes,
            allow_private=settings.allow_private,
            allow_http=settings.allow_http,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
        )

    def check(self, source: FeedSource) -> None:
        """RuleError if the source is not valid; the list is not loaded for that."""
        check_refresh(source.refresh)
        if bool(source.url) == bool(source.file):
            raise RuleError("a feed has either a url or a file", "feed", "give one of the two")
        if source.url:
            from xdpctl.lists.fetch import check_url  # late: 10 MB that many boxes never need

            check_url(source.url, self._policy)
        else:
            self._path(source.file)

    def every(self, current: SourceSet, refresh: float | str) -> FeedSource:
        """The set's source with another refresh interval; RuleError if one of them is invalid."""
        if current.feed is None:
            raise RuleError(f"the set {current.name} has no feed", "refresh", "PUT it with a feed")
        seconds = parse_duration(refresh, "refresh") if isinstance(refresh, str) else refresh
        return structs.replace(current.feed, refresh=check_refresh(seconds))

    def load(self, source: FeedSource) -> tuple[Feed, FeedSource] | None:
        """The list, and the source with its new validators; None if the list has not changed.

        FetchError or RuleError if the list cannot be loaded.
        """
        if source.file:
            return self._file(source)
        from xdpctl.lists.fetch import Validators, fetch

        validators = Validators(source.etag, source.last_modified)
        answer = fetch(source.url, validators, self._policy)
        if answer.body is None:
            return None
        version = answer.validators
        return self.parse(answer.body, source.format, source.column), _version(
            source, version.etag, version.last_modified
        )

    def parse(self, data: bytes, format: str, column: str) -> Feed:
        """Parse a list; `format` is one of FeedFormat. RuleError if it is not valid."""
        try:
            kind = FeedFormat(format)
        except ValueError:
            formats = ", ".join(FeedFormat)
            raise RuleError(f"{format!r} is not a format", "format", f"use {formats}") from None
        limits = self.limits
        return read(
            data, kind, column or None, limit=limits.max_bytes, max_entries=limits.max_entries
        )

    def _path(self, name: str) -> Path:
        path = self._directory / name
        if "\0" in name or not path.resolve().is_relative_to(self._directory.resolve()):
            raise RuleError(
                f"{name!r} is not in {self._directory}",
                "feed.file",
                f"put it there (feeds.directory), or upload it: xdpctl set put NAME {name}",
            )
        return path.resolve()

    def _file(self, source: FeedSource) -> tuple[Feed, FeedSource] | None:
        path = self._path(source.file)
        try:
            version = str(path.stat().st_mtime_ns)
            if version == source.last_modified:
                return None
            if path.stat().st_size > self.limits.max_bytes:
                raise FetchError(f"{path} is larger than {self.limits.max_bytes} bytes")
            data = path.read_bytes()
        except OSError as error:
            raise FetchError(f"{path}: {error.strerror}") from error
        return self.parse(data, source.format, source.column), _version(source, "", version)


def _version(source: FeedSource, etag: str, last_modified: str) -> FeedSource:
    return structs.replace(source, etag=etag, last_modified=last_modified)
