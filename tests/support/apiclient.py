# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole application without a server: requests through ASGI, and a fake kernel."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support import described
from tests.support.fakes import BreakableStore, FakeClock, FakeDatapath, controller
from xdpctl.config.listen import Listen
from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.lists.refresher import Refresher
from xdpctl.lists.source import Limits, ListSource
from xdpctl.model.quota import Quota
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.app import create_app
from xdpctl_api.transport.callers import Hosts, LocalCallers, RemoteCallers

LOCAL = ("local:root", 1)
TCP = ("127.0.0.1", 5)
PROBLEM = "application/problem+json"


@dataclass
class Api:
    """A running application; `call` makes a request, by default from root on the Unix socket."""

    controller: Controller
    datapath: FakeDatapath
    clock: FakeClock
    settings: Settings
    app: Any = field(init=False)
    refresher: Refresher = field(init=False)
    context: ControlPlane = field(init=False)

    def __post_init__(self) -> None:
        limits = Limits(self.settings.bulk_max_bytes, 100_000)
        self.refresher = Refresher(self.controller, ListSource(self.settings.feeds, limits))
        self.context = ControlPlane(self.controller, self.settings, self.refresher)
        self.app = create_app(self.context)

    @property
    def store(self) -> BreakableStore:
        assert isinstance(self.controller.store, BreakableStore)
        return self.controller.store

    def call(
        self,
        method: str,
        path: str,
        peer: tuple[str, int] = LOCAL,
        token: str | None = None,
        **more: Any,
    ) -> httpx2.Response:
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"

        local = peer[0].startswith("local:")
        client_at = (peer[0].removeprefix("local:"), peer[1])
        app = LocalCallers(self.app) if local else RemoteCallers(self.app, Hosts(()))

        async def send() -> httpx2.Response:
            transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=client_at)
            base = "http://xdpctl" if local else "http://127.0.0.1:8460"
            async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, headers=headers, **more)

        answer = asyncio.run(send())
        described.check(answer)
        return answer

    def add(self, source: str, status: int = 201, **body: Any) -> dict[str, Any]:
        """POST a rule, check the status, and return the response body."""
        answer = self.call("POST", "/v1/rules", json={"match": {"source": source}, **body})
        assert answer.status_code == status, answer.text
        rule: dict[str, Any] = answer.json()
        return rule

    def put(self, name: str, body: Any, status: int = 201, **query: Any) -> dict[str, Any]:
        """PUT a set as lines or as JSON, check the status, and return the response body."""
        kind = {"json": body} if isinstance(body, dict) else {"content": body}
        answer = self.call("PUT", f"/v1/sets/{name}", params=query, **kind)
        assert answer.status_code == status, answer.text
        answered: dict[str, Any] = answer.json()
        return answered

    def token(self, name: str, role: str, **more: Any) -> str:
        """Create a token; return its secret."""
        answer = self.call("POST", "/v1/tokens", json={"name": name, "role": role, **more})
        assert answer.status_code == 201, answer.text
        secret: str = answer.json()["secret"]
        return secret

    def loader_says(
        self, ports: Mapping[str, Mapping[str, object]], pid: int | None = None, **more: object
    ) -> None:
        """Write the loader's status file."""
        status: dict[str, object] = {"pid": os.getpid() if pid is None else pid, "ports": ports}
        status |= {"beat": time.monotonic(), "protect": {}, "logins": []} | more
        self.settings.loader_status.parent.mkdir(exist_ok=True)
        self.settings.loader_status.write_text(json.dumps(status))


ATTACHED = {
    "eth0": {
        **{"state": "attached", "mode": "native", "detail": "", "taken_off": 0},
        **{"outside": False, "teaches": None, "teaches_not": "", "flows": "not_asked"},
    }
}


@contextmanager
def running(
    tmp_path: Path,
    capacity: int = 16,
    protection: Mapping[str, str] | None = None,
    quotas: Mapping[str, Quota] | None = None,
    bulk_max_bytes: int = 100_000,
    **more: Any,
) -> Iterator[Api]:
    """A ready API with a started controller and one attached interface; `more` are settings."""
    datapath, clock = FakeDatapath(capacity), FakeClock()
    listen = Listen(socket=tmp_path / "s")
    (tmp_path / "control").mkdir(exist_ok=True)
    settings = Settings(state_dir=tmp_path, bulk_max_bytes=bulk_max_bytes, listen=listen, **more)
    with controller(tmp_path, datapath, clock, protection, quotas) as control:
        api = Api(control, datapath, clock, settings)
        api.loader_says(ATTACHED)
        yield api


def problem(answer: httpx2.Response, status: int, kind: str) -> dict[str, Any]:
    """Check the status and the fields that every problem document has; return the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:xdpctl:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """A body of unknown length."""
    for part in parts:
        yield part
