# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks settings whose errors would appear only in use: URLs, databases, missing libraries."""

from collections.abc import Iterator
from pathlib import Path

from xdpctl.base.system import extras
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError
from xdpctl.notify.senders import is_supported


def problems(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Each problem: subject, text and fix. URLs are secrets and are not shown."""
    yield from _missing(settings)
    for number, url in enumerate(settings.notify.urls, 1):
        if not is_supported(url):
            kind = url.partition(":")[0][:20]
            yield (
                "notify.urls",
                f"Apprise cannot use URL {number}, of the kind {kind!r}: nobody is notified by it",
                "compare it with Apprise's documentation of that service",
            )
    for name in settings.geo_databases:
        try:
            from xdpctl.lists.geo import open_database  # imported late: few boxes name databases

            open_database(Path(name))
        except ConfigError as error:
            yield "geo_databases", str(error), "name an MMDB or libloc file that is there"


def _missing(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """What the settings ask for, and whose library is not installed."""
    asked = {
        "fleet": bool(settings.fleet),
        "bgp": bool(settings.upstream.peers),
        "xarf": settings.reporter.send,
    }
    for name in (name for name, wanted in asked.items() if wanted):
        extra = extras.EXTRAS[name]
        if not extra.installed():
            text = (
                f"the settings ask for {extra.purpose}, and the library {extra.library} is missing"
            )
            yield name, text, extras.remedy(name)
