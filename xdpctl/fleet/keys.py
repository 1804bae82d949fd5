# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of the engine, and who may write them.

    fleet                        the fleet's id, written once
    fleet-epoch                  a new value whenever the engine may have lost something; by root
    shared/intents/KIND/ID       what people asked for; by every node that may publish intents
    shared/found/NODE/KIND/ID    rules of NODE's detectors; by NODE alone
    blobs/SET/SHA-256            pieces of sets; by every node that may publish intents
    nodes/NAME/card, report      who a node is, and how it is; by the node alone
    nodes/NAME/alive             which run of the node goes on; with a lease of a few seconds
    incidents/NODE/ID            NODE's part of an incident; by NODE alone
    history/NODE/NUMBER          what people changed on NODE; by NODE alone
    undo/NODE/NUMBER             what undoes that change; by every node that may publish intents
    leader/ROLE                  which node does something for all; with a lease
    relays/NAME/at               where a relay answers, as HOST:PORT; by root
    relays/NAME/joined           its version, since it has joined; by the relay alone
    relays/NAME/report           how it is; with a lease of a few seconds; by the relay alone
    members                      where etcd answers, as JSON: a list of HOST:PORT; by root
    certificates/NAME, revoked   renewed certificates, and names that are no longer trusted; by root

One watch of `shared/` is all that an agent needs to follow.
"""

from typing import NamedTuple

SHARED, INTENTS, FOUND = "shared/", "shared/intents/", "shared/found/"
BLOBS, NODES, INCIDENTS, HISTORY = "blobs/", "nodes/", "incidents/", "history/"
LEADER, CERTIFICATES, REVOKED, UNDO = "leader/", "certificates/", "revoked", "undo/"
MEMBERS, RELAYS = "members", "relays/"
FLEET, EPOCH = "fleet", "fleet-epoch"
# Key prefixes. Below those in OWN, each node writes below its own name. Below those in STATED, only
# nodes that may publish intents write.
OWN = (FOUND, INCIDENTS, HISTORY)
STATED = (INTENTS, BLOBS, LEADER, UNDO)


class Place(NamedTuple):
    """An intent's key without key prefixes, and the node whose detector made it, if any."""

    key: str
    node: str = ""


def intent(key: str) -> str:
    """The engine's key of an intent."""
    return INTENTS + key


def found(node: str, key: str) -> str:
    """The engine's key of a rule that a node's detector made."""
    return f"{FOUND}{node}/{key}"


def said_by(node: str) -> tuple[str, str, str]:
    """The keys of what a node says about itself: its card, its report, and that it is alive."""
    return f"{NODES}{node}/card", f"{NODES}{node}/report", f"{NODES}{node}/alive"


def said_by_relay(name: str) -> tuple[str, str, str]:
    """The keys of where a relay answers, that it has joined, and how it is."""
    return f"{RELAYS}{name}/at", f"{RELAYS}{name}/joined", f"{RELAYS}{name}/report"


def owns(node: str, first: str, end: str = "") -> bool:
    """Whether a node alone writes a key, or all keys from `first` up to `end`."""
    if not end:
        return first in said_by(node) or any(first.startswith(of_node(a, node)) for a in OWN)
    return any(of_node(a, node) <= first <= end <= f"{a}{node}0" for a in OWN)  # "0" follows "/"


def place(engine_key: str) -> Place | None:
    """What a key below `shared/` names; None if it is not known."""
    if engine_key.startswith(INTENTS):
        return Place(engine_key.removeprefix(INTENTS))
    node, mark, key = engine_key.removeprefix(FOUND).partition("/")
    return Place(key, node) if engine_key.startswith(FOUND) and mark and node else None


def of_node(area: str, node: str, name: str = "") -> str:
    """A key of a node in an area that only this node writes; without `name`, the key prefix."""
    return f"{area}{node}/{name}"
