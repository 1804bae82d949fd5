# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares answers with the OpenAPI document, which must describe each of them."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx2
from jsonschema_rs import Validator, validator_for

from xdpctl_api.app import openapi

_document = cache(openapi)


def check(answer: httpx2.Response) -> None:
    """Assert that the document describes the status, media type and schema of an answer."""
    if answer.request.method == "HEAD":
        return  # as GET, without its content
    method, path = answer.request.method.lower(), answer.request.url.path
    route = _route(method, path)
    if route is None:
        return  # 404 or 405: no route of the API
    name = f"{method} {route}: {answer.status_code}"
    responses: Mapping[str, Any] = _document()["paths"][route][method]["responses"]
    assert str(answer.status_code) in responses, f"{name} is not described: {answer.text}"
    content = responses[str(answer.status_code)].get("content", {})
    if not content:
        assert answer.content == b"", f"{name} has content that is not described"
        return
    media = _media_type(answer.headers["content-type"])
    described = [key for key in content if _media_type(key) == media]
    assert described, f"{name} is {media}, and described as {list(content)}"
    if media == "application/json" or media.endswith("+json"):
        _validator(method, route, str(answer.status_code), described[0]).validate(answer.json())


def validate(value: Any, schema: Mapping[str, Any]) -> None:
    """Assert that a value has the form of a schema of the document."""
    whole = {**schema, "components": _document()["components"]}
    validator_for(whole, validate_formats=True).validate(value)


def event(value: Any) -> None:
    """Assert that an event that was sent to a webhook has the form that the document says."""
    validate(value, {"$ref": "#/components/schemas/ToldEvent"})


def _media_type(header: str) -> str:
    return header.split(";")[0].strip().lower()


@cache
def _routes() -> list[tuple[str, re.Pattern[str], frozenset[str]]]:
    return [
        (route, re.compile(re.sub(r"\{\w+\}", "[^/]+", route)), frozenset(methods))
        for route, methods in _document()["paths"].items()
    ]


def _route(method: str, path: str) -> str | None:
    for route, pattern, methods in _routes():
        if method in methods and pattern.fullmatch(path):
            return route
    return None


@cache
def _validator(method: str, route: str, status: str, media: str) -> Validator:
    document = _document()
    content = document["paths"][route][method]["responses"][status]["content"]
    whole = {**content[media]["schema"], "components": document["components"]}
    return validator_for(whole, validate_formats=True)
