# SPDX-License-Identifier: GPL-2.0-or-later
"""How each listener is configured in uvicorn: middleware, connections, TLS."""

import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from xdpctl.config.listen import Listen
from xdpctl.fleet.settings import FleetSettings
from xdpctl.processes.sockets import FleetListener
from xdpctl_api.transport.callers import Hosts, LocalCallers, NodeCallers, RemoteCallers
from xdpctl_api.transport.connection import (
    Connection,
    LocalConnection,
    NodeConnection,
)

log = logging.getLogger("xdpctl.api")
_FINISH_SECONDS = 2  # that open requests get when the server stops
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # for TLS 1.2; all ciphers of TLS 1.3 have forward secrecy


def listener_config(app: ASGIApp, local: bool, listen: Listen) -> uvicorn.Config:
    proxies = [] if local else [str(proxy).split("/")[0] for proxy in listen.trusted_proxies]
    middleware = LocalCallers(app) if local else RemoteCallers(app, hosts(listen))
    tls = not local and listen.tls_certificate is not None
    return uvicorn.Config(
        middleware,
        http=LocalConnection if local else Connection,
        ws="none",
        lifespan="off",
        loop="uvloop",
        log_config=None,  # uvicorn's messages go to our log, in our format
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        ssl_certfile=listen.tls_certificate if tls else None,
        ssl_keyfile=listen.tls_key if tls else None,
        ssl_ca_certs=str(listen.tls_client_ca) if tls and listen.tls_client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and listen.tls_client_ca else ssl.CERT_NONE,
        ssl_ciphers=_CIPHERS,
        ssl_context_factory=_context if tls else None,
    )


def fleet_config(app: ASGIApp, fleet: FleetListener) -> uvicorn.Config:
    """The listener for other nodes; a client without a certificate of the fleet may only join."""
    settings = fleet.settings
    return uvicorn.Config(
        NodeCallers(app, fleet.joining),
        http=NodeConnection,
        ws="none",
        lifespan="off",
        loop="uvloop",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        ssl_certfile=settings.file("node.crt"),
        ssl_keyfile=settings.file("node.key"),
        ssl_ca_certs=str(settings.file("ca.crt")),
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
        ssl_ciphers=_CIPHERS,
        ssl_context_factory=partial(_renewing, settings),
    )


def _renewing(
    settings: FleetSettings, config: uvicorn.Config, make_context: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    """The context for other nodes; each handshake uses this node's current certificate."""
    context, certificate = _context(config, make_context), settings.file("node.crt")
    loaded = certificate.stat().st_mtime_ns

    def renew(secured: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        nonlocal loaded
        try:
            modified = certificate.stat().st_mtime_ns
            if modified != loaded:
                loaded = modified
                context.load_cert_chain(certificate, settings.file("node.key"))
                secured.context = context
        except OSError as error:
            log.warning("the renewed certificate of this node cannot be used: %s", error)

    context.sni_callback = renew
    return context


def _context(_: uvicorn.Config, make_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context of uvicorn, without versions before TLS 1.2 (RFC 8996)."""
    context = make_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def hosts(listen: Listen) -> Hosts:
    """The names under which the API is reached over TCP: the configured ones and the host name."""
    return Hosts((listen.host, socket.gethostname(), *listen.names))
