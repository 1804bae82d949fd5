# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that the OpenAPI description allows, and requests that it does not, from each role.

No request causes an internal error (500), no caller gets more than the role allows, and every
refusal is a problem document.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from tests.fuzz.support.loop import SECONDS, fuzz
from tests.support.apiclient import LOCAL, PROBLEM, TCP, Api, running
from tests.support.hooked import OURS, VICTIM, event, say
from xdpctl.detectors.registry import ADAPTERS
from xdpctl.lab.waits import HANG_SECONDS
from xdpctl_api.app import openapi

_OPEN = {"/healthz", "/readyz"}
_NOT_VIEWED = ("/v1/tokens", "/v1/audit")
_PLANNED = {502, 503, 504, 507}  # a feed, the store, a deadline, no room
_LIVE = ("/v1/samples", "}/top")  # streams, which do not end
_ASKED_BY_ALL = ("/v1/why", "/v1/explain")
_ADMINS = ("/v1/tokens", "/v1/browsers")
_QUESTION = "/v1/suggest"  # a POST that changes nothing
_ENDLESS = "/v1/stream"  # tests/unit/api/test_stream.py has who may read it
_TIMES = 3  # as long as one parser, for there are many requests
_SOURCE, _MATCH = "8.8.5.7", "udp dst-port 53"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    """A box with one of each thing, so that some requests find their target."""
    with running(tmp_path, 300, OURS) as api:
        api.call("PUT", "/v1/automatic", json={"mode": "on"})
        yield api


def stand(api: Api) -> dict[str, list[str]]:
    """Create one of each thing again; return their names by path parameter."""
    api.call("POST", "/v1/rules", json={"match": {"source": _SOURCE}})
    made = api.call("POST", "/v1/rules", json={"match": _MATCH})
    api.call("PUT", "/v1/sets/bad", content=b"9.9.9.9\n")
    say(api, "event", event(victim=VICTIM, attack="udp_flood"))
    incidents = [one["id"] for one in api.call("GET", "/v1/incidents").json()["incidents"]]
    return {
        "rule_id": [f"{_SOURCE}_32", made.json().get("id", "none")],
        "name": ["bad", "spare"],
        "incident_id": incidents,
        "address": [_SOURCE, VICTIM],
        "detector": sorted(ADAPTERS),
    }


@st.composite
def requests(draw: st.DrawFn, known: Mapping[str, list[str]]) -> Case[Any]:
    """A described request, or nearly one; half of them are about something that exists."""
    operation = draw(st.sampled_from(_OPERATIONS))
    modes = [mode for mode in GenerationMode if mode.is_positive or _has_input(operation)]
    case: Case[Any] = draw(operation.as_strategy(generation_mode=draw(st.sampled_from(modes))))
    for name in case.path_parameters or {}:
        if known.get(name) and draw(st.booleans()):
            case.path_parameters[name] = draw(st.sampled_from(known[name]))
    if case.path.endswith(_LIVE):
        case.query["seconds"] = draw(st.sampled_from((0.05, -1, "x")))
    return case


def _has_input(operation: Any) -> bool:
    described = operation.definition.raw
    return bool(described.get("parameters") or described.get("requestBody"))


def _operations() -> Iterator[Any]:
    for found in schemathesis.openapi.from_dict(openapi()).get_all_operations():
        assert isinstance(found, Ok), found
        if found.ok().path != _ENDLESS:
            yield found.ok()


_OPERATIONS = list(_operations())


def sent(api: Api, case: Case[Any], peer: tuple[str, int], token: str | None) -> httpx2.Response:
    how = case.as_transport_kwargs(base_url="")
    told = {key: value for key, value in how.items() if key in ("json", "params")}
    if isinstance(how.get("data"), str | bytes):
        told["content"] = how["data"]
    told["params"] = {
        str(k): v if isinstance(v, list) else str(v) for k, v in told["params"].items()
    }
    headers = {k: v.encode("utf-8", "replace") for k, v in how["headers"].items()}
    return api.call(case.method, how["url"], peer, token, headers=headers, **told)


def allowed(role: str | None, case: Case[Any]) -> bool:
    """Whether a request of this role may succeed."""
    path = case.path
    if role in ("admin", "local") or path in _OPEN:
        return True
    if path.startswith("/v1/hooks"):
        return role in ("detector", "operator")
    if path == "/v1/releases" or path.startswith(_ASKED_BY_ALL):
        return role in ("helpdesk", "operator") or (role == "viewer" and case.method == "GET")
    if role == "operator":
        return not path.startswith(_ADMINS)
    reads = case.method == "GET" or path == _QUESTION
    return role == "viewer" and reads and not path.startswith(_NOT_VIEWED)


@pytest.mark.parametrize(
    "role", [None, "viewer", "helpdesk", "operator", "detector", "admin", "local"]
)
def test_no_request_causes_an_internal_error_or_exceeds_its_role(
    box: Api, role: str | None
) -> None:
    more = {"origin": "fastnetmon"} if role == "detector" else {}
    token = box.token("who", role, **more) if role not in (None, "local") else None
    peer = LOCAL if role == "local" else TCP
    known = stand(box)

    def ask(case: Case[Any]) -> None:
        answer = sent(box, case, peer, token)
        status, shown = answer.status_code, f"{case.method} {case.formatted_path}: {answer.text}"
        assert status < 500 or status in _PLANNED, shown
        if status >= 400 and case.path != "/readyz":
            assert answer.headers["content-type"] == PROBLEM, shown
        if status < 300:
            assert allowed(role, case), f"{role} may not: {shown}"
        if case.method == "DELETE" and status < 300:
            stand(box)

    fuzz(requests(known), ask, (httpx2.InvalidURL,), seconds=_TIMES * SECONDS)


def test_each_request_can_be_made(box: Api) -> None:
    """Otherwise refusals for an invalid form would prove nothing."""
    known, done = stand(box), set()

    def ask(case: Case[Any]) -> None:
        if sent(box, case, LOCAL, None).status_code < 300:
            done.add((case.method, case.path))

    def a_third() -> bool:
        return len(done) > len(_OPERATIONS) / 3

    fuzz(requests(known), ask, (httpx2.InvalidURL,), HANG_SECONDS, a_third)
    assert a_third(), sorted(done)
