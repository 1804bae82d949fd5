# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to the other nodes of the fleet, on behalf of this node's callers."""

import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
from fastapi import Request

from xdpctl.base.net.prefix import exact_address
from xdpctl.errors import EngineError, NotFoundError, RuleError
from xdpctl.fleet.agent.agent import Agent
from xdpctl.fleet.settings import FleetSettings
from xdpctl.model.identity import Caller
from xdpctl_api.auth import CALLER, ROLE

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", re.ASCII | re.IGNORECASE)
_CONNECT_SECONDS = 3.0
_MOST = 8 << 20  # maximum bytes of an answer that is read as a whole
_PASSED_ON = ("content-type", "accept", "if-match", "last-event-id")


class Neighbours:
    """The other nodes that an agent knows. Import this module late, because it imports httpx2."""

    def __init__(self, settings: FleetSettings, agent: Agent) -> None:
        self._settings, self._agent = settings, agent

    def live(self) -> list[str]:
        """The names of the other nodes that report."""
        looked, me = self._agent.whereabouts.looked(), self._agent.member.name
        return sorted(
            node.name
            for node in self._agent.reporter.nodes.by_name.values()
            if node.name != me and node.live(looked)
        )

    def address(self, name: str) -> str:
        """The HOST:PORT of a node's API; NotFoundError, RuleError or EngineError if it has none."""
        node = self._agent.reporter.nodes.by_name.get(name)
        if node is None:
            raise NotFoundError(
                f"there is no node {name[:40]!r} in the fleet; see xdpctl fleet status"
            )
        if not node.card.address:
            raise RuleError(
                f"the node {name} does not let other nodes ask it", "node", "set fleet.port there"
            )
        if not is_address(node.card.address):
            raise EngineError(f"the node {name} gives {node.card.address[:80]!r} as its HOST:PORT")
        return node.card.address

    def client(self, seconds: float) -> httpx2.AsyncClient:
        """A client with this node's certificate; EngineError if the certificate cannot be used."""
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=str(settings.file("ca.crt")))
            context.load_cert_chain(settings.file("node.crt"), settings.file("node.key"))
        except OSError as error:
            raise EngineError(f"this node's certificate cannot be used: {error}") from error
        timeout = httpx2.Timeout(seconds, connect=_CONNECT_SECONDS)
        return httpx2.AsyncClient(verify=context, timeout=timeout, trust_env=False)

    @asynccontextmanager
    async def asked(
        self, client: httpx2.AsyncClient, request: Request, who: Caller, name: str, body: bytes
    ) -> AsyncIterator[httpx2.Response]:
        """A node's answer to the same request, before its body is read.

        Raises httpx2.HTTPError or OSError.
        """
        headers: Mapping[str, str] = {
            **{field: value for field in _PASSED_ON if (value := request.headers.get(field))},
            CALLER: who.name.encode("ascii", "replace").decode(),
            ROLE: who.role.value,
        }
        outgoing = client.build_request(
            request.method,
            f"https://{self.address(name)}{target(request)}",
            headers=headers,
            content=body,
            extensions={"sni_hostname": name},  # the name that the node's certificate must have
        )
        answer = await client.send(outgoing, stream=True)
        try:
            yield answer
        finally:
            await answer.aclose()


def is_address(text: str) -> bool:
    """Whether a text is exactly HOST:PORT, so that it can be put into a URL."""
    host, _, port = text.rpartition(":")
    if len(text) > 300 or not _PORT.fullmatch(port) or int(port) > 65535:
        return False
    if host.startswith("[") and host.endswith("]"):
        return exact_address(host[1:-1]) is not None and ":" in host and "%" not in host
    return _HOST.fullmatch(host) is not None and not host.lower().startswith("xn--")


def target(request: Request) -> str:
    """The path of a request with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


async def read_json(answer: httpx2.Response) -> Any:
    """The JSON of an answer; EngineError for a problem, or if it is too large or not valid."""
    if answer.status_code >= 400:
        raise EngineError(f"it answers {answer.status_code}")
    pieces, size = [], 0
    async for piece in answer.aiter_bytes(65_536):
        size += len(piece)
        if size > _MOST:
            raise EngineError(f"its answer is larger than {_MOST >> 20} MiB")
        pieces.append(piece)
    try:
        return msgspec.json.decode(b"".join(pieces))
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineError(f"its answer cannot be read: {error}") from error
