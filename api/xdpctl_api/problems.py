# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors as problem details (RFC 9457), with their HTTP status and their OpenAPI description."""

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from xdpctl import errors
from xdpctl.errors import (
    BusyError,
    CapacityError,
    ConflictError,
    DatapathError,
    LockoutError,
    NotFoundError,
    QuotaError,
    RuleError,
    StaleError,
    StoreError,
    UnconfirmedError,
    XdpctlError,
)

STATUS: dict[type[Exception], tuple[int, str]] = {
    errors.ConflictError: (409, "conflict"),
    errors.UnconfirmedError: (409, "unconfirmed"),
    errors.LockoutError: (409, "lockout"),
    errors.QuotaError: (403, "quota"),
    errors.RuleError: (400, "bad-request"),
    errors.NotFoundError: (404, "not-found"),
    errors.StaleError: (412, "stale"),
    errors.RoleError: (403, "role"),
    errors.AccessError: (401, "access"),
    errors.PaceError: (429, "pace"),
    errors.BusyError: (503, "busy"),
    errors.StoreError: (503, "store"),
    errors.CapacityError: (507, "capacity"),
    errors.DatapathError: (503, "datapath"),
    errors.EngineError: (503, "engine"),
    errors.FetchError: (502, "feed"),
    errors.ConfigError: (400, "bad-request"),
    errors.XdpctlError: (500, "internal"),
}
TITLES = {
    "conflict": "Conflict with an existing rule",
    "lockout": "The change would cut off a protected or logged-in address",
    "unconfirmed": "The change may cut off many: confirm that it is meant",
    "quota": "Quota of the origin exceeded",
    "bad-request": "Invalid request",
    "not-found": "Not found",
    "stale": "Changed since it was read",
    "role": "Role not allowed",
    "access": "Authentication required",
    "pace": "Too many requests",
    "busy": "Busy",
    "store": "Not stored, so not done",
    "capacity": "Table full",
    "datapath": "Kernel error",
    "engine": "The engine of the fleet does not answer",
    "feed": "Feed unavailable",
    "internal": "Internal error",
    "too-large": "Body too large",
}
_JSON = re.compile(r"application/([\w.-]+\+)?json\b", re.IGNORECASE)  # as FastAPI reads it
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}}
_AGAIN_SECONDS = 10
TYPE = "urn:xdpctl:problem:"
MEDIA_TYPE = "application/problem+json"
# the errors that a change may raise
CHANGE = (BusyError, StoreError, DatapathError)
GUARDED = (ConflictError, LockoutError, UnconfirmedError, *CHANGE)
RULE = (QuotaError, CapacityError, *GUARDED)
FOUND_RULE = (RuleError, NotFoundError)  # RuleError: the id may be malformed
HELD_RULE = (*FOUND_RULE, StaleError, *RULE)

Responses = dict[int | str, dict[str, Any]]


def problem(status: int, kind: str, detail: str, **more: Any) -> JSONResponse:
    """A problem document (RFC 9457); members in `more` that are empty are left out."""
    return _answer(_document(status, kind, detail, **more))


def _document(status: int, kind: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": TYPE + kind,
        "title": TITLES.get(kind, kind),
        "status": status,
        "detail": detail,
        **{key: value for key, value in more.items() if value},
    }


def of_error(error: errors.XdpctlError) -> dict[str, Any]:
    """The problem document of an error."""
    if isinstance(error, errors.Refused):
        return error.problem
    status, kind = _status(error)
    field, fix = getattr(error, "field", ""), getattr(error, "fix", "")
    return _document(status, kind, str(error), field=field, fix=fix)


def of_validation(error: RequestValidationError) -> dict[str, Any]:
    """The problem document of a malformed request."""
    misfits = _misfits(error)
    detail = f"{misfits[0]['field'] or 'the body'}: {misfits[0]['message']}"
    return _document(400, "bad-request", detail, field=misfits[0]["field"], errors=misfits)


def _status(error: Exception) -> tuple[int, str]:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def answer_of(error: errors.XdpctlError) -> JSONResponse:
    """The answer to an error that was raised outside of the routes."""
    return _answer(of_error(error))


def _answer(document: dict[str, Any]) -> JSONResponse:
    kind = document["type"].removeprefix(TYPE)
    headers = (
        {"Retry-After": str(_AGAIN_SECONDS)}
        if kind in ("busy", "pace")
        else _HEADERS.get(document["status"])
    )
    return JSONResponse(document, document["status"], headers, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.XdpctlError)  # noqa: S101  # registered for this class
    request.app.state.context.refused[_status(error)[1]] += 1
    return _answer(of_error(error))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class
    request.app.state.context.refused["bad-request"] += 1
    sent = request.headers.get("content-type", "")[:80]
    unread = (each for each in error.errors() if isinstance(each.get("input"), bytes))
    if not _JSON.match(sent) and any(each["loc"] == ("body",) for each in unread):
        what = f"the content type of the body is {sent!r}" if sent else "it has no content type"
        fix = "send Content-Type: application/json"
        return problem(400, "bad-request", what, field="Content-Type", fix=fix)
    return _answer(of_validation(error))


def _misfits(error: RequestValidationError) -> list[dict[str, str]]:
    return [
        {"field": ".".join(str(part) for part in e["loc"][1:]), "message": e["msg"]}
        for e in error.errors()
    ]


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    answer = problem(error.status_code, "http", str(error.detail))
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["allow"] = ", ".join(_methods(request)) or "GET, HEAD"  # of files
    return answer


def _methods(request: Request) -> list[str]:
    """The methods of all routes of this path (RFC 9110, section 10.2.1)."""
    found = {
        method
        for router in request.app.state.routers
        for route in router.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def _defect(_: Request, error: Exception) -> JSONResponse:
    detail = f"a defect of xdpctl ({type(error).__name__}); see its log for details"
    return problem(500, "internal", detail)


async def _gone(_: Request, error: Exception) -> Response:
    """The caller disconnected while it sent a body, so nobody would read an answer."""
    return Response(status_code=499)


def install(app: FastAPI) -> None:
    """Answer every exception of the application with a problem document."""
    app.add_exception_handler(Exception, _defect)
    app.add_exception_handler(errors.XdpctlError, _ours)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def refusals(*raised: type[XdpctlError] | tuple[int, str]) -> Responses:
    """`responses` of a route that raises these errors, or answers a status with a kind of problem.

    The document adds what every route answers.
    """
    by_status: dict[int, list[str]] = {}
    for cause in raised:
        status, kind = cause if isinstance(cause, tuple) else STATUS[cause]
        by_status.setdefault(status, []).append(in_words(kind))
    return {status: refusal(*dict.fromkeys(whys)) for status, whys in sorted(by_status.items())}


def refusal(*whys: str) -> dict[str, Any]:
    """A response that is a problem document; `whys` say when it is answered."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "; ".join(whys), "content": {MEDIA_TYPE: {"schema": schema}}}


UNCHANGED: Responses = {304: {"description": "The same as what If-None-Match names"}}


def streamed(media: str, what: str, binary: bool = True) -> dict[str, Any]:
    """A response that is not JSON: bytes, or text."""
    schema = {"type": "string"} | ({"format": "binary"} if binary else {})
    return {"description": what, "content": {media: {"schema": schema}}}


def in_words(kind: str) -> str:
    """A kind of problem, with its title."""
    return f"`{kind}`: {TITLES[kind]}"
