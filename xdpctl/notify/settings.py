# SPDX-License-Identifier: GPL-2.0-or-later
"""`[notify]` of the configuration file."""

import base64
import binascii
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from xdpctl.base.problems import Problems
from xdpctl.base.typed import Table

_URLS_MAX = 20
_SECRET, _KEY_LEAST, _KEY_MOST = "whsec_", 24, 64  # of Standard Webhooks


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


class Webhook(Table, frozen=True):
    """`[[notify.webhooks]]`: where events are posted, signed with the secret. Neither is shown."""

    url: Annotated[str, Meta(pattern="^https?://")]
    secret: str

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a secret that is not one of Standard Webhooks, or is too short."""
        try:
            length = len(self.key)
        except (ValueError, binascii.Error):
            length = 0
        if not self.secret.startswith(_SECRET) or not _KEY_LEAST <= length <= _KEY_MOST:
            problems.add(
                f"{place}.secret must be {_SECRET} with {_KEY_LEAST} to {_KEY_MOST} bytes in "
                f'base64; make one: echo "{_SECRET}$(head -c 32 /dev/urandom | base64)"'
            )

    @property
    def key(self) -> bytes:
        """The bytes of the secret; ValueError if it is not base64."""
        return base64.b64decode(self.secret.removeprefix(_SECRET), validate=True)


class NotifySettings(Table, frozen=True):
    """`[notify]`. `urls`, for Apprise, contain secrets and are never shown."""

    urls: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=_URLS_MAX)] = ()
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=_URLS_MAX)] = ()
    on: tuple[Kind, ...] = tuple(Kind)
