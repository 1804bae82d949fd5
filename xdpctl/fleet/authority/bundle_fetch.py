# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching the sealed bundle of a token from a node of the fleet."""

import ssl
from http.client import HTTPException, HTTPSConnection

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
    status, data = _asked(host, token.id)
    if status != 200:
        raise ConfigError(
            f"{host} does not know this token: it has expired, was used, or was made on another "
            "node, whose address to give"
        )
    return unseal(token, data)


def used(host: str, token: Token) -> None:
    """Let the node forget the bundle: the token cannot be used again. Unreachable."""
    _asked(host, f"{token.id}/{token.proof}")


def _asked(host: str, name: str) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    address, port = _split(host)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection(address, port, timeout=_SECONDS, context=context)
    try:
        connection.request("GET", PATH + name)
        answer = connection.getresponse()
        return answer.status, answer.read(BYTES_MAX + 1)
    except (OSError, HTTPException) as error:
        problem = error or repr(error)
        raise Unreachable(f"{address} port {port} does not answer: {problem}") from None
    finally:
        connection.close()


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
