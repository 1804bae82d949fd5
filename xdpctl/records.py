"""Rules as the store keeps them: JSON that survives a reboot with the remaining lifetime.

Within one boot the kernel's clock counts, so a step of the wall clock moves no deadline. After
a reboot only the wall clock is left.
"""

import msgspec

from xdpctl.clock import Now
from xdpctl.model import Action, Mode, Rule, parse_rule_id, rule_id
from xdpctl.prefix import Prefix

RULES = "rules/"
TOKENS = "tokens/"


class _Match(msgspec.Struct):
    source: str


class _Record(msgspec.Struct, omit_defaults=True):
    match: _Match
    action: str
    mode: str
    origin: str
    created_at: float
    reason: str = ""
    tags: tuple[str, ...] = ()
    boot: str = ""
    expires_ns: int = 0
    expires_at: float = 0
    confirm_by_ns: int = 0
    confirm_by_at: float = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)
_strings: dict[str, str] = {}


def _shared(text: str) -> str:
    """One object for the origins, reasons and tags that thousands of rules repeat."""
    if len(_strings) > 10_000:
        _strings.clear()
    return _strings.setdefault(text, text)


def rule_key(source: Prefix) -> str:
    return RULES + rule_id(source)


def source_of(key: str) -> Prefix:
    """The source of the rule under a store key."""
    return parse_rule_id(key.removeprefix(RULES))


def encode(rule: Rule, now: Now) -> bytes:
    """The value that the store keeps of a rule."""
    timed = bool(rule.expires_ns or rule.confirm_by_ns)
    return _encoder.encode(
        _Record(
            match=_Match(str(rule.source)),
            action=rule.action.value,
            mode=rule.mode.value,
            origin=rule.origin,
            created_at=rule.created_at,
            reason=rule.reason,
            tags=rule.tags,
            boot=now.boot if timed else "",
            expires_ns=rule.expires_ns,
            expires_at=now.wall(rule.expires_ns) if rule.expires_ns else 0,
            confirm_by_ns=rule.confirm_by_ns,
            confirm_by_at=now.wall(rule.confirm_by_ns) if rule.confirm_by_ns else 0,
        )
    )


def _kernel_time(ns: int, unix: float, boot: str, now: Now) -> int:
    if not ns or boot == now.boot:
        return ns
    return max(1, now.after(unix - now.unix))


def decode(source: Prefix, value: bytes, now: Now) -> Rule:
    """The rule stored under the key of `source`; ValueError or RuleError if it is unreadable."""
    record = _decoder.decode(value)
    return Rule(
        source=source,
        action=Action(record.action),
        mode=Mode(record.mode),
        origin=_shared(record.origin),
        reason=_shared(record.reason),
        tags=tuple(map(_shared, record.tags)),
        created_at=record.created_at,
        expires_ns=_kernel_time(record.expires_ns, record.expires_at, record.boot, now),
        confirm_by_ns=_kernel_time(record.confirm_by_ns, record.confirm_by_at, record.boot, now),
    )
