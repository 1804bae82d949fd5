# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that openapi-python-client generates from the OpenAPI document, and its calls."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from tests.paths import ROOT
from xdpctl_api.app import openapi

_SETTINGS = ROOT / "docs" / "reference" / "client.yaml"


class Generated:
    """The generated package, in a folder of its own; its modules are attributes of `self`."""

    def __init__(self, folder: Path) -> None:
        document = folder / "openapi.json"
        document.write_text(json.dumps(openapi()))
        self.package = folder / f"client_{folder.name}"
        settings = Config.from_sources(
            ConfigFile.load_from_path(_SETTINGS),
            *(MetaType.NONE, document, "utf-8", False, self.package),
        )
        self.complaints = [
            f"{problem.header} {problem.detail}" for problem in generate(config=settings)
        ]
        sys.path.insert(0, str(folder))
        try:
            self.models = self.module("models")
        finally:
            sys.path.remove(str(folder))

    def module(self, name: str) -> Any:
        """One of its modules: `models`, `api.rules.add_rule`."""
        return import_module(f"{self.package.name}.{name}")

    def remote(self, url: str, token: str) -> Any:
        """A client on TCP."""
        return self.module("client").AuthenticatedClient(base_url=url, token=token)

    def local(self, path: Path) -> Any:
        """A client on the Unix socket, which needs no token."""
        transport = httpx.HTTPTransport(uds=str(path))
        return self.module("client").Client(
            base_url="http://xdpctl", httpx_args={"transport": transport}
        )

    def call(self, client: Any, operation: str, *path: str, **more: Any) -> Any:
        """The answer to an operation such as `rules.add_rule`, as one of the models."""
        answer = self.module(f"api.{operation}").sync_detailed(*path, client=client, **more)
        assert answer.parsed is not None, answer.content
        return answer.parsed

    def add(self, client: Any, source: str, **more: Any) -> Any:
        """Add a rule on a source."""
        match = self.models.MatchIn(source=source)
        body = self.models.RuleIn(match=match, ttl="1h", reason="SYN flood", **more)
        return self.call(client, "rules.add_rule", body=body)

    def put(self, client: Any, name: str, *prefixes: str) -> Any:
        """Put a set, as a JSON document."""
        body = self.models.SetIn(prefixes=list(prefixes), reason="a test")
        return self.call(client, "sets.put_set", name, body=body)

    def explain(self, client: Any, source: str) -> Any:
        """Explain a packet of a source."""
        return self.call(client, "explain.explain", source=source)
