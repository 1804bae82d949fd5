# SPDX-License-Identifier: GPL-2.0-or-later
"""A client generated from the OpenAPI document, against the server on both of its listeners."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, running
from tests.support.generated import Generated
from tests.support.served import Doors, served
from xdpctl.abi.constants import Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.model.protection import CONFIGURED
from xdpctl_api.app import openapi


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return Generated(tmp_path_factory.mktemp("generated"))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=64, protection={"192.0.2.0/24": CONFIGURED}) as api:
        yield api


@pytest.fixture
def doors(api: Api, tmp_path: Path) -> Iterator[Doors]:
    with served(api.app, tmp_path) as doors:
        yield doors


@pytest.fixture
def client(api: Api, doors: Doors, generated: Generated) -> Iterator[Any]:
    """An operator's client on TCP."""
    with generated.remote(doors.url, api.token("hands", "operator")) as client:
        yield client


def test_the_whole_document_becomes_a_client(generated: Generated) -> None:
    assert generated.complaints == []
    for operations in openapi()["paths"].values():
        for operation in operations.values():
            (tag,) = operation["tags"]
            module = generated.module(f"api.{tag}.{operation['operationId']}")
            assert callable(module.sync_detailed)


def test_a_rule_is_added_and_listed(client: Any, generated: Generated) -> None:
    added = generated.add(client, "203.0.113.0/24")
    assert isinstance(added, generated.models.RuleAnswer)
    assert (added.id, added.created, added.in_kernel) == ("203.0.113.0_24", True, True)
    assert added.match.additional_properties == {"source": "203.0.113.0/24"}
    assert added.action is generated.models.Action.DROP
    assert not generated.add(client, "203.0.113.0/24").created
    page = generated.call(client, "rules.list_rules", limit=10, within="203.0.113.0/24")
    assert isinstance(page, generated.models.RulePage)
    assert [(rule.id, rule.reason) for rule in page.rules] == [("203.0.113.0_24", "SYN flood")]
    assert page.next_ is None


def test_a_set_is_put_as_a_document_and_as_a_list(client: Any, generated: Generated) -> None:
    put = generated.put(client, "bad", "198.51.100.7", "203.0.113.0/24")
    assert isinstance(put, generated.models.SetAnswer)
    assert (put.created, put.entries.ipv4, put.entries.ipv6) == (True, 2, 0)
    lines = generated.module("types").File(payload=BytesIO(b"203.0.113.9\nwhat\n2001:db9::/48\n"))
    put = generated.call(client, "sets.put_set", "bad", body=lines, reason="Monday")
    assert (put.created, put.entries.ipv4, put.entries.ipv6) == (False, 1, 1)
    assert [(reject.line, reject.text) for reject in put.rejects] == [(2, "what")]
    assert [each.name for each in generated.call(client, "sets.list_sets").sets] == ["bad"]
    text = generated.call(client, "sets.read_entries", "bad")
    assert text.split() == ["203.0.113.9/32", "2001:db9::/48"]


def test_a_packet_is_explained(api: Api, client: Any, generated: Generated) -> None:
    """tests/kernel/test_generated_client.py asks the loaded program."""
    slot = generated.add(client, "203.0.113.0/24").slot
    api.datapath.explanation = Explanation(Reason.DROPPED, (slot,))
    told = generated.explain(client, "203.0.113.7")
    assert isinstance(told, generated.models.ExplainOut)
    assert (told.verdict, told.reason) == ("drop", "dropped")
    assert told.rule.id == "203.0.113.0_24"
    assert told.protected_by is None
    api.datapath.explanation = Explanation(Reason.PROTECTED, (1,))
    assert generated.explain(client, "192.0.2.9").protected_by.prefix == "192.0.2.0/24"


def test_an_error_is_a_problem(api: Api, doors: Doors, client: Any, generated: Generated) -> None:
    refused = generated.add(client, "192.0.2.7")
    assert isinstance(refused, generated.models.Problem)
    assert (refused.status, refused.type_) == (409, "urn:xdpctl:problem:lockout")
    assert refused.field == "match.source"
    assert refused.fix
    wrong = generated.call(client, "rules.list_rules", limit=0)
    assert (wrong.status, wrong.errors[0].field) == (400, "limit")
    assert generated.put(client, "No Name", "203.0.113.9").field == "name"
    missing = generated.call(client, "sets.read_set", "none")
    assert (missing.status, missing.type_) == (404, "urn:xdpctl:problem:not-found")
    with generated.remote(doors.url, api.token("eyes", "viewer")) as eyes:
        assert generated.add(eyes, "203.0.113.0/24").type_ == "urn:xdpctl:problem:role"
    with generated.remote(doors.url, "wrong") as nobody:
        assert generated.add(nobody, "203.0.113.0/24").status == 401


def test_the_unix_socket_needs_no_token(doors: Doors, generated: Generated) -> None:
    with generated.local(doors.local) as client:
        assert generated.add(client, "203.0.113.0/24").created
        assert generated.call(client, "system.read_status").rules.total == 1
        assert generated.call(client, "system.read_readiness").ready
        assert "xdpctl_rules" in generated.call(client, "system.read_metrics")
