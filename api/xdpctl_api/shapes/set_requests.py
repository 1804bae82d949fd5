# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of requests for sets and their feeds, and of changes of sets."""

from pydantic import Field

from xdpctl.lists.replacement import Choices
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.feed_format import FeedFormat
from xdpctl.model.source_set import FeedSource, Options
from xdpctl_api.shapes.common import Duration, Strict, seconds
from xdpctl_api.shapes.fleet import ForWhom


class FeedIn(Strict):
    """A feed, fetched periodically: exactly one of `url` and `file`."""

    url: str = Field(default="", examples=["https://www.spamhaus.org/drop/drop_v4.json"])
    file: str = Field(default="", description="Name of a file in feeds.directory")
    refresh: Duration = "1h"
    format: FeedFormat = FeedFormat.AUTO
    column: str = Field(default="", description="Column of a CSV, or field of JSON objects")

    def source(self) -> FeedSource:
        """The same feed as the model's FeedSource; RuleError if it is not valid."""
        return FeedSource(
            url=self.url,
            file=self.file,
            refresh=seconds(self.refresh, "feed.refresh") or 0.0,
            format=self.format,
            column=self.column,
        )


class SetChoices(Strict):
    """The settings of a set, and how its list is processed."""

    action: Action | None = Field(
        default=None, description="Default: unchanged, or drop for a new set"
    )
    mode: Mode | None = Field(
        default=None, description="Default: unchanged, or enforce for a new set"
    )
    spare: Spare | None = Field(
        default=None,
        description="known: packets of known flows and of this host's TCP connections pass; "
        "established: only packets of these connections pass. Default: unchanged; for a new set "
        "none, and known for a feed that drops",
    )
    out: bool | None = Field(
        default=None,
        description="Whether it drops what goes out to its prefixes, instead of what comes in from "
        "them; cannot be changed. Default: unchanged, or false for a new set",
    )
    reason: str | None = Field(default=None, description="Default: unchanged")
    allow_private: bool = Field(
        default=False, description="Keep private and special-purpose prefixes (RFC 6890)"
    )
    aggregate: bool = Field(
        default=False, description="Merge prefixes exactly: no address gains or loses a verdict"
    )
    widen_ipv4: int = Field(
        default=0, ge=0, le=32, description="Widen longer prefixes to this length; lossy"
    )
    widen_ipv6: int = Field(default=0, ge=0, le=128)
    at_most: int = Field(
        default=0,
        ge=0,
        le=1 << 31,
        description="Merge to at most this many entries of each family; lossy",
    )
    force: bool = Field(
        default=False,
        description="Apply even if the list shrinks by more than half, or accept becomes drop",
    )
    dry_run: bool = False

    @property
    def choices(self) -> Choices:
        """The same settings for the replacement of a set."""
        return Choices(
            action=self.action,
            mode=self.mode,
            spare=self.spare,
            out=self.out,
            reason=self.reason,
            options=self.options,
            force=self.force,
            dry_run=self.dry_run,
        )

    @property
    def options(self) -> Options:
        """How the entries of the list are processed."""
        return Options(
            allow_private=self.allow_private,
            aggregate=self.aggregate,
            widen_ipv4=self.widen_ipv4,
            widen_ipv6=self.widen_ipv6,
            at_most=self.at_most,
        )


class SetIn(SetChoices):
    """A set in one JSON document: either its prefixes, or its feed."""

    prefixes: list[str] | None = None
    feed: FeedIn | None = None


class ListQuery(SetChoices, ForWhom):
    """The settings of a set as a query, for a list that is the body."""

    format: FeedFormat = FeedFormat.AUTO
    column: str = ""


class SetChange(Strict):
    """Changes that keep the entries of a set; fields that are left out are not changed."""

    mode: Mode = Mode.ENFORCE
    spare: Spare = Spare.NONE
    reason: str = ""
    refresh: Duration | None = None
    force: bool = Field(
        default=False, description="Also if its entries hold most of this host's connections"
    )
