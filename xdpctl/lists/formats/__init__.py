"""Threat feeds and country lists, whatever their format, read into sets of prefixes. Pure."""

from xdpctl.lists.formats.feed import Feed, FeedFormat
from xdpctl.lists.formats.read import LIMIT, read

__all__ = ["LIMIT", "Feed", "FeedFormat", "read"]
