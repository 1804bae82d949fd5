"""What every route works with; one object, made by the entry point."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from xdpctl.config import Settings
from xdpctl.controller import Controller


@dataclass(slots=True)
class Context:
    """The controller, the settings it runs under, and counts for /metrics."""

    controller: Controller
    settings: Settings
    started: float = field(default_factory=time.time)
    refused: Counter[str] = field(default_factory=Counter)

    def loader(self) -> dict[str, Any]:
        """The loader's last word about the interfaces; {} if it never spoke."""
        try:
            found: dict[str, Any] = json.loads(self.settings.loader_status.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def problems(self) -> list[str]:
        """Why this box is not ready to take new rules and apply them everywhere."""
        found = []
        if self.controller.problem:
            found.append(self.controller.problem)
        if self.controller.state.room < 1:
            found.append(f"the source table is full: {self.controller.datapath.capacity} rules")
        if self.controller.datapath.bypass():
            found.append("the bypass is on: everything passes")
        loader = self.loader()
        if not loader:
            found.append("the loader has not said that it runs")
        elif not _runs(loader["pid"]):
            found.append("the loader is not running: what appears now is not attached")
        for name, port in loader.get("ports", {}).items():
            if port["state"] != "attached":
                found.append(f"{name} is {port['state']}: {port['detail']}")
        return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def context(request: Request) -> Context:
    """The dependency that hands a route its context."""
    found: Context = request.app.state.context
    return found
