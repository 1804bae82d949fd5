# SPDX-License-Identifier: GPL-2.0-or-later
"""The OpenAPI document: every answer has a form, every error is a problem, callers are known.

`Api.call` compares each answer of every other test with the document.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.support import described
from tests.support.apiclient import PROBLEM, TCP, Api, problem, running
from xdpctl_api.app import ROUTES, openapi
from xdpctl_api.dependencies import query_names
from xdpctl_api.vocabulary import EXAMPLES, WORDS

DOCUMENT = openapi()
OPEN = {"/healthz", "/readyz"}
PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}


class Operation(NamedTuple):
    method: str
    path: str
    told: dict[str, Any]


OPERATIONS = [
    Operation(method, path, told)
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
]
every_operation = pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: operation.told["operationId"]
)


def open_ended(schema: object, place: str) -> Iterator[str]:
    """Where a schema takes anything."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is True or not schema.keys() - {"title"}:
            yield place
        for name, inner in schema.items():
            if name not in ("default", "examples"):
                yield from open_ended(inner, f"{place}.{name}")
    if isinstance(schema, list):
        for inner in schema:
            yield from open_ended(inner, place)


def test_every_property_and_parameter_has_a_description() -> None:
    missing = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, value in schema.get("properties", {}).items()
        if not value.get("description")
    ]
    missing += [
        f"{operation.path} {parameter['name']}"
        for operation in OPERATIONS
        for parameter in operation.told.get("parameters", ())
        if not parameter.get("description")
    ]
    assert missing == []


def test_every_word_of_the_vocabulary_is_used() -> None:
    text = json.dumps(DOCUMENT)
    assert [name for name, told in WORDS.items() if json.dumps(told) not in text] == []


def test_every_time_is_rfc_3339() -> None:
    times = [
        (f"{name}.{field}", value)
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, value in schema.get("properties", {}).items()
        if field == "at" or field.endswith("_at")
    ]
    assert len(times) > 30
    # what is no date: the time of day at which traffic is expected, and a number of packets
    assert {name for name, value in times if "date-time" not in json.dumps(value)} == {
        "ExpectationIn.at", "ExpectationOut.at",
        "StatisticsOut.looked_at",  # packets
    }  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_valid(name: str) -> None:
    described.validate(EXAMPLES[name], {"$ref": f"#/components/schemas/{name}"})


def test_operation_ids_are_valid_function_names() -> None:
    names = [operation.told["operationId"] for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


@every_operation
def test_the_parameters_that_a_call_may_have_are_those_of_its_document(
    operation: Operation,
) -> None:
    described = [p["name"] for p in operation.told.get("parameters", ()) if p["in"] == "query"]
    (route,) = (
        route
        for module in ROUTES
        for route in module.router.routes
        if route.path == operation.path and operation.method.upper() in route.methods
    )
    assert sorted(query_names(route.dependant)) == sorted(described)


@every_operation
def test_errors_are_problems(operation: Operation) -> None:
    responses = operation.told["responses"]
    assert "422" not in responses
    errors = {status for status in responses if int(status) >= 400}
    assert errors >= {"403", "421", "500"}
    for status in errors - ({"503"} if operation.path == "/readyz" else set()):
        assert responses[status]["content"] == {PROBLEM: {"schema": PROBLEM_SCHEMA}}
        assert responses[status]["description"]


@every_operation
def test_every_answer_has_a_schema(operation: Operation) -> None:
    for status, response in operation.told["responses"].items():
        if status == "304":
            continue
        assert response["content"], status
        for media in response["content"].values():
            assert not list(open_ended(media["schema"], status))


def test_only_the_detail_of_an_audit_record_is_open_ended() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found = [place for name in schemas for place in open_ended(schemas[name], name)]
    assert found == ["AuditRecord.properties.detail"]


@every_operation
def test_a_token_is_needed_on_tcp_where_the_document_says_so(
    box: Api, operation: Operation
) -> None:
    """The empty alternative is the Unix socket."""
    assert DOCUMENT["security"] == [{"bearer": []}, {}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    answer = box.call(operation.method.upper(), re.sub(r"\{\w+\}", "1", operation.path), TCP)
    refused = operation.told.get("security", DOCUMENT["security"]) != []
    assert refused == (operation.path not in OPEN)
    assert (answer.status_code == 401) == refused
    assert ("401" in operation.told["responses"]) == refused


def test_every_reference_leads_to_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found = set(re.findall(r"'\$ref': '([^']+)'", repr(DOCUMENT)))
    assert found == {f"#/components/schemas/{name}" for name in schemas}


@pytest.mark.parametrize(
    ("status", "body"),
    [(418, {"on": True}), (200, {"on": "yes"}), (200, {}), (404, {"detail": "Not Found"})],
)
def test_an_answer_that_is_not_described_is_found(status: int, body: dict[str, Any]) -> None:
    asked = httpx2.Request("GET", "http://xdpctl/v1/bypass")
    described.check(httpx2.Response(200, json={"on": True}, request=asked))
    with pytest.raises((AssertionError, ValueError)):
        described.check(httpx2.Response(status, json=body, request=asked))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if "/v1/" in one.path])
def test_a_parameter_that_a_call_does_not_have_is_refused(api: Api, operation: Operation) -> None:
    path = re.sub(r"\{\w+\}", "x", operation.path)
    refused = api.call(operation.method.upper(), path, params={"dryrun": "true"})
    assert problem(refused, 400, "bad-request")["field"] == "dryrun"


def test_health_checks_may_have_any_query_parameter(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert api.call("GET", path, params={"x": "1"}).status_code == 200
