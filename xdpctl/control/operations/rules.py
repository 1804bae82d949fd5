# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on rules of either kind: on a source (source_rules) and on more (signatures).

Each works on a draft, checks everything first, and stages nothing if it raises.
"""

from xdpctl.control.operations import signatures, source_rules
from xdpctl.control.operations.changing import Added
from xdpctl.control.state.draft import Draft
from xdpctl.model.identity import Caller
from xdpctl.model.match.match import ID_MARK
from xdpctl.model.requests import RuleRequest, SignatureRequest
from xdpctl.model.rule import Rule, parse_rule_id
from xdpctl.model.signature import Signature

Request = RuleRequest | SignatureRequest
RuleOrSignature = Rule | Signature


def add(draft: Draft, request: Request, caller: Caller) -> Added[RuleOrSignature]:
    """Add a rule, or extend or replace the one with the same match."""
    if isinstance(request, SignatureRequest):
        return signatures.add(draft, request, caller)
    return source_rules.add(draft, request, caller)


def change(
    draft: Draft, rule_id: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Added[RuleOrSignature]:
    """Change fields of a live rule; StaleError unless it is the one with that ETag."""
    if rule_id.startswith(ID_MARK):
        return signatures.change(draft, rule_id, changes, caller, etag)
    return source_rules.change(draft, parse_rule_id(rule_id), changes, caller, etag)


def confirm(draft: Draft, rule_id: str, caller: Caller, etag: str | None) -> Added[RuleOrSignature]:
    """Confirm a provisional rule; NotFoundError once it has expired."""
    if rule_id.startswith(ID_MARK):
        return signatures.confirm(draft, rule_id, caller, etag)
    return source_rules.confirm(draft, parse_rule_id(rule_id), caller, etag)


def remove(
    draft: Draft, rule_id: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> RuleOrSignature:
    """Remove a rule; `hits` goes into the audit log with it."""
    if rule_id.startswith(ID_MARK):
        return signatures.remove(draft, rule_id, caller, etag, hits)
    return source_rules.remove(draft, parse_rule_id(rule_id), caller, etag, hits)


def describe(rule: RuleOrSignature) -> dict[str, object]:
    """The fields of a rule that go into the audit log."""
    if isinstance(rule, Signature):
        return signatures.describe(rule)
    return source_rules.describe(rule)
