# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching the sealed bundle of a token from a node of the fleet."""

import ssl
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from xdpctl.errors import ConfigError, Unreachable
from xdpctl.fleet.authority.bundle import BYTES_MAX, Bundle, Token, unseal
from xdpctl.fleet.settings import PORT

PATH = "/fleet/joining/"
_SECONDS = 10.0


def fetch(host: str, token: Token) -> Bundle:
    """The bundle of a token, from `HOST` or `HOST:PORT`.

    The connection is encrypted and not verified: what comes is sealed with the token's secret, and
    has the certificate of the authority that the token names. Unreachable, ConfigError or
    AccessError.
    """
    name, port = _split(host)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection(name, port, timeout=_SECONDS, context=context)
    try:
        connection.request("GET", PATH + token.id)
        answer = connection.getresponse()
        data = answer.read(BYTES_MAX + 1)
    except (OSError, HTTPException) as error:
        raise Unreachable(f"{name} port {port} does not answer: {error or repr(error)}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise ConfigError(f"{name} does not know this token: it has expired, or was used")
    return unseal(token, data)


def forget(folder: Path, identity: str) -> None:
    """Remove a bundle that was used or has expired."""
    (folder / identity).unlink(missing_ok=True)


def _split(host: str) -> tuple[str, int]:
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        name, _, port = host.partition(":")
    else:
        name, port = host, ""
    if port and not port.isdigit():
        raise ConfigError(f"{host!r} is not HOST or HOST:PORT")
    return name, int(port or PORT)
