"""Threat feeds and country lists, whatever their format, read into sets of prefixes. Pure."""

from xdpctl.feeds.feed import Feed, FeedFormat
from xdpctl.feeds.read import LIMIT, read

__all__ = ["LIMIT", "Feed", "FeedFormat", "read"]
