# SPDX-License-Identifier: GPL-2.0-or-later
"""`[listen]` of the configuration file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.typed import Table
from xdpctl.config import paths


class Listen(Table, frozen=True):
    """`[listen]`: the sockets of the API; port 0 disables TCP.

    Without a certificate, only loopback is allowed for `host`.
    """

    socket: Path = field(default_factory=lambda: paths.SOCKET)
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8460
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    names: tuple[str, ...] = ()
    trusted_proxies: tuple[Prefix, ...] = ()

    @property
    def address(self) -> str:
        """The URL of the pages for somebody on this host, without a path; empty without TCP."""
        scheme, host = "https" if self.tls_certificate else "http", (*self.names, self.host)[0]
        place = f"{f'[{host}]' if ':' in host else host}:{self.port}"
        return f"{scheme}://{place}" if self.port else ""

    @property
    def shared_address(self) -> str:
        """The URL of the pages for others; empty if it is not known by what name they reach it."""
        if not self.names or not self.port:
            return ""
        return f"https://{self.names[0]}" if self.trusted_proxies else self.address
