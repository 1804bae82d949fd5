# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending events of detectors through the API, and reading their effects."""

import json
from typing import Any

from tests.support.apiclient import Api
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.config.file import parse

VICTIM = "198.51.100.2"
OURS = {"198.51.100.0/24": "ours", "2001:db8:66::/48": "ours"}


def configured(api: Api, **automatic: Any) -> None:
    settings = parse({"automatic": automatic})
    object.__setattr__(api.settings, "automatic", settings.automatic)


def say(api: Api, detector: str, payload: Any, status: int = 200, **more: Any) -> dict[str, Any]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    answer = api.call("POST", f"/v1/hooks/{detector}", content=body, **more)
    assert answer.status_code == status, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def event(identity: str = "1", phase: str = "began", **more: Any) -> dict[str, Any]:
    return {"phase": phase, "id": identity, **more}


def standing(api: Api) -> dict[str, dict[str, Any]]:
    return {r["id"]: r for r in api.call("GET", "/v1/rules").json()["rules"]}


def fastnetmon(verb: str, host: str = VICTIM, report: str = "Attack type: udp_flood\n") -> Any:
    return {"argv": [host, "incoming", "2043", verb], "stdin": report if verb == "ban" else ""}


class Connected:
    """A fake of the kernel's TCP connections."""

    fresh = True

    def __init__(self, **peers: int) -> None:
        self.peers = Peers({parse_prefix(name).address: n for name, n in peers.items()})

    def now(self) -> Peers:
        return self.peers

    async def read(self) -> Peers:
        return self.now()


def incidents(box: Api, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = box.call("GET", "/v1/incidents", params=query).json()["incidents"]
    return items


def whole(box: Api, identity: str) -> dict[str, Any]:
    incident: dict[str, Any] = box.call("GET", f"/v1/incidents/{identity}").json()
    return incident


def quiet(box: Api) -> list[str]:
    """Let four seconds pass without hits; return the released rules."""
    box.context.releases.step(100.0)
    return box.context.releases.step(104.0)


def hit(box: Api, rule: str, packets: int) -> None:
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    box.datapath.hit_values[slot] = Hits(packets, 64 * packets).pack()


def flood(box: Api, identity: str = "1", **more: Any) -> str:
    """Report a flood on the victim; return the id of its rule."""
    answer = say(box, "event", event(identity, victim=VICTIM, attack="udp_flood", **more))
    rule: str = answer["rules"][0]
    return rule


def loud(box: Api, rule: str, seconds: int = 40) -> list[str]:
    """Simulate many hits of a rule for some seconds; return the ids of the rules raised."""
    raised: list[str] = []
    for second in range(seconds):
        hit(box, rule, 500 * (second + 1))
        raised += box.context.ladder.step(float(second))
    return raised
