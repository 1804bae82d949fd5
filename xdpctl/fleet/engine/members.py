# SPDX-License-Identifier: GPL-2.0-or-later
"""How each member of the engine is. A member answers only for itself, so every one is asked."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from xdpctl.base.text import printable
from xdpctl.errors import EngineError
from xdpctl.fleet.engine import etcd_pb2
from xdpctl.fleet.engine.calls import method
from xdpctl.fleet.engine.connection import Connection, Credentials
from xdpctl.fleet.engine.values import EngineMember

pb: Any = etcd_pb2  # generated, without types
_SECONDS = 1.0  # for an answer
_MOST, _TEXT = 20, 64  # members, and characters of a text
_ALARM = "alarm:"  # before the name of an alarm in an answer of etcd


class Members:
    """Asks all members when `look` is called, by one thread. `all` has what is known of them.

    `endpoints` are those that this node knows; the members that answer name the others. Members of
    another `cluster` than the one that this node follows (etcd's id, in hex) are left out.
    """

    def __init__(
        self,
        endpoints: Callable[[], Sequence[str]],
        credentials: Credentials,
        cluster: Callable[[], str] = str,
        patience: Callable[[], float] = float,
    ) -> None:
        self._patience = patience
        self._endpoints, self._credentials, self._cluster = endpoints, credentials, cluster
        self._connections: dict[str, Connection] = {}
        self._known: dict[int, EngineMember] = {}  # by etcd's id of the member
        self.looked = 0.0  # monotonic time of the last look; silence counts up to then

    @property
    def all(self) -> tuple[EngineMember, ...]:
        """The members by name; empty while none has answered."""
        return tuple(
            sorted(self._known.values(), key=lambda member: (member.name, member.endpoint))
        )

    def look(self) -> None:
        """Ask all members at the same time; one that does not answer keeps its earlier figures."""
        answers = self._statuses()
        heard = time.monotonic()
        known = {}
        listed = self._listed(endpoint for _, endpoint in answers.values()) or self._known
        for identity, member in listed.items():
            if identity in answers:
                status, endpoint = answers[identity]
                known[identity] = _answered(replace(member, endpoint=endpoint), status, heard)
            else:
                last = self._known.get(identity, member)
                known[identity] = replace(last, name=member.name, votes=member.votes)
        self._known, self.looked = known, heard

    def close(self) -> None:
        """End all running calls."""
        for connection in self._connections.values():
            connection.close()

    def _statuses(self) -> dict[int, tuple[Any, str]]:
        """The answer of each member that answers and where it did, by the member's id."""
        endpoints = dict.fromkeys([*self._endpoints(), *(m.endpoint for m in self._known.values())])
        for endpoint in self._connections.keys() - endpoints.keys():
            self._connections.pop(endpoint).close()
        asked = []
        for endpoint in filter(None, list(endpoints)[:_MOST]):
            connection = self._connections.setdefault(
                endpoint, Connection([endpoint], self._credentials)
            )
            with suppress(EngineError):  # it is shown as silent
                begun = _begun(connection, "Status", self._patience())
                asked.append((endpoint, connection, *begun))
        answers, cluster = {}, self._cluster()
        for endpoint, connection, turn, call in asked:
            with suppress(EngineError), connection.failing(turn):
                status = call.result()
                if cluster in ("", f"{status.header.cluster_id:x}"):
                    answers[int(status.header.member_id)] = status, endpoint
        return answers

    def _listed(self, endpoints: Iterable[str]) -> dict[int, EngineMember]:
        """All members, as the first one lists them that answers; {} if none does."""
        for endpoint in endpoints:
            connection = self._connections[endpoint]
            with suppress(EngineError):
                turn, call = _begun(connection, "MemberList", self._patience())
                with connection.failing(turn):
                    return {int(m.ID): _member(m) for m in call.result().members[:_MOST]}
        return {}


def _begun(connection: Connection, name: str, patience: float) -> tuple[int, Any]:
    """A call that is on its way, and the turn of the connection; EngineError without a channel."""
    channel, turn = connection.channel()
    request = pb.StatusRequest() if name == "Status" else pb.MemberListRequest()
    return turn, method(channel, name).future(request, timeout=_SECONDS + patience)


def _member(listed: Any) -> EngineMember:
    """A member as etcd lists it; one that was never started has no name and no endpoint."""
    url = next(iter(listed.clientURLs), "")
    endpoint = printable(url.partition("://")[2], _TEXT)
    name = printable(listed.name, _TEXT) or "a new member"
    return EngineMember(name, endpoint, not listed.isLearner)


def _answered(member: EngineMember, status: Any, heard: float) -> EngineMember:
    alarms = (error.partition(_ALARM)[2].strip() for error in status.errors if _ALARM in error)
    return replace(
        member,
        heard=heard,
        version=printable(status.version, _TEXT),
        leads=status.leader == status.header.member_id,
        led=bool(status.leader),
        bytes=int(status.dbSize),
        bytes_used=int(status.dbSizeInUse),
        applied=int(status.raftAppliedIndex),
        alarms=tuple(printable(alarm, _TEXT) for alarm in alarms),
    )
