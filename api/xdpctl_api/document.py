# SPDX-License-Identifier: GPL-2.0-or-later
"""The OpenAPI document: FastAPI's description of the routes, with security and common errors."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from xdpctl_api.problems import in_words, refusal
from xdpctl_api.shapes.common import Problem
from xdpctl_api.shapes.set_requests import SetIn
from xdpctl_api.vocabulary import described

# Over TCP, RemoteCallers answers with these two errors before any route runs.
_CROSS_SITE = "`cross-site`: Request from a web page of another site"
_HOST = "`host`: `Host` is not a name of this machine"
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token, needed on TCP. None is needed on the Unix socket: the kernel names "
    "the user of the process that calls (SO_PEERCRED), whose role is admin.",
}
# With a JSON body, query parameters are refused, so a client must not fill in their defaults.
_NO_DEFAULTS = ("/v1/sets/{name}", "put")
RECEIVE = "receive_notification"  # what receivers of webhooks implement
_EVENT = "application/cloudevents+json"
STRICT = "/v1/"  # the paths below which an unknown parameter is an error
_BY_HAND = (Problem, SetIn)  # routes refer to these by name, so FastAPI does not add them


class DescribedApi(FastAPI):
    """An application whose OpenAPI document describes authentication and errors."""

    def openapi(self) -> dict[str, Any]:
        """The document, which is made once and kept."""
        if self.openapi_schema is None:
            self.openapi_schema = described(_completed(super().openapi()))
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The name of a route's function, which generated clients use as their method's name."""
    return route.name


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    models = [(model, "validation") for model in _BY_HAND]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas |= definitions["$defs"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = {"bearer": _BEARER}
    document["security"] = [{"bearer": []}, {}]
    path, method = _NO_DEFAULTS
    for parameter in document["paths"][path][method]["parameters"]:
        parameter["schema"].pop("default", None)
    for place, methods in document["paths"].items():
        for operation in methods.values():
            _add_refusals(operation, strict=place.startswith(STRICT))
    for methods in document["webhooks"].values():
        _complete_webhook(methods["post"])
    return document


def _complete_webhook(operation: dict[str, Any]) -> None:
    """Say what is sent and expected: the receiver answers, and not this API."""
    operation["security"] = []
    operation["responses"] = {"204": {"description": "It was taken"}}
    content = operation["requestBody"]["content"]
    operation["requestBody"]["content"] = {_EVENT: content.pop("application/json")}


def _add_refusals(operation: dict[str, Any], strict: bool) -> None:
    """Add the errors that do not come from the route itself.

    `strict`: an unknown parameter is an error, too.
    """
    responses = operation["responses"]
    malformed = responses.pop("422", None) and _can_be_malformed(operation)  # this API answers 400
    if malformed or strict:
        responses["400"] = refusal(in_words("bad-request"))
    for status, why in _common(operation):
        before = responses.get(status)
        responses[status] = refusal(*([before["description"]] if before else []), why)
    operation["responses"] = dict(sorted(responses.items()))


def _can_be_malformed(operation: dict[str, Any]) -> bool:
    """Whether a request can be malformed; a text parameter without a pattern cannot."""
    schemas = [parameter["schema"] for parameter in operation.get("parameters", ())]
    kinds = [kind for schema in schemas for kind in schema.get("anyOf", (schema,))]
    return "requestBody" in operation or any(
        kind.get("type") not in ("string", "null") or "pattern" in kind for kind in kinds
    )


def _common(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if operation.get("security") != []:
        yield "401", in_words("access")
        yield "403", in_words("role")
    yield "403", _CROSS_SITE
    if "requestBody" in operation:
        yield "413", in_words("too-large")
    yield "421", _HOST
    yield "500", in_words("internal")
