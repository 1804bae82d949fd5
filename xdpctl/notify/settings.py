# SPDX-License-Identifier: GPL-2.0-or-later
"""`[notify]` of the configuration file."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from xdpctl.base.typed import Table

_URLS_MAX = 20


class Kind(StrEnum):
    """Kinds of notifications: of incidents, of refused requests, of problems of the host.

    `abuse`: abuse reports, if `reporter.send` is set.
    """

    OPENED = "opened"
    ESCALATED = "escalated"
    CLOSED = "closed"
    REFUSED = "refused"
    TROUBLE = "trouble"
    ABUSE = "abuse"


class NotifySettings(Table, frozen=True):
    """`[notify]`. `urls`, for Apprise, contain secrets and are never shown."""

    urls: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=_URLS_MAX)] = ()
    on: tuple[Kind, ...] = tuple(Kind)
