"""The shapes of v1, and their way from and to the model."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat

from xdpctl.asks import Ask
from xdpctl.clock import Now
from xdpctl.controller import Controller
from xdpctl.durations import parse_duration
from xdpctl.model import Action, Mode, Rule
from xdpctl.prefix import parse_prefix
from xdpctl.tokens import Role

Duration = Annotated[
    StrictFloat | str,  # true is no second
    Field(description="Seconds, or text such as 15m, 1h30m", examples=["15m", 900]),
]


class Strict(BaseModel):
    """Unknown fields are errors: a typing mistake must not become a wider rule."""

    model_config = ConfigDict(extra="forbid")


class MatchIn(Strict):
    """A match by FlowSpec's component names (RFC 8955); this version matches on `source`."""

    source: str = Field(examples=["203.0.113.0/24"], max_length=64)


class RuleIn(Strict):
    """A rule as it is asked for."""

    match: MatchIn
    action: Action = Action.DROP
    mode: Mode = Mode.ENFORCE
    ttl: Duration | None = None
    reason: str = ""
    tags: list[str] = []
    confirm_within: Duration | None = Field(
        default=None, description="Undone after this long unless confirmed"
    )

    def ask(self) -> Ask:
        return Ask(
            source=parse_prefix(self.match.source),
            action=self.action,
            mode=self.mode,
            ttl=seconds(self.ttl, "ttl"),
            confirm_within=seconds(self.confirm_within, "confirm_within"),
            reason=self.reason,
            tags=tuple(self.tags),
        )


class RuleChange(Strict):
    """What may change on a standing rule; what is left out stays."""

    mode: Mode = Mode.ENFORCE
    ttl: Duration | None = Field(default=None, description="From now on; null for no end")
    reason: str = ""
    tags: list[str] = []

    def changes(self) -> dict[str, object]:
        given = self.model_dump(include=self.model_fields_set)
        if "ttl" in given:
            given["ttl"] = seconds(self.ttl, "ttl")
        if "tags" in given:
            given["tags"] = tuple(self.tags)
        return given


class RuleOut(BaseModel):
    """A standing rule with its counters; times are RFC 3339, in UTC."""

    id: str
    match: dict[str, str]
    action: Action
    mode: Mode
    origin: str
    reason: str
    tags: list[str]
    created_at: datetime
    expires_at: datetime | None
    expires_in: float | None = Field(description="Seconds; the kernel ends it by itself")
    confirm_in: float | None = Field(description="Seconds left to confirm it; null: it stands")
    slot: int | None = Field(description="Its number in the kernel")
    packets: int
    bytes: int
    etag: str


class RuleAnswer(RuleOut):
    """A rule that was just added or changed; it is in the kernel when this is read."""

    created: bool
    in_kernel: bool
    warnings: list[str]


class RulePage(BaseModel):
    """One page; `next` is the cursor of the following one, null on the last."""

    rules: list[RuleOut]
    next: str | None


class ImportOut(BaseModel):
    """How an import went; `rejects` shows at most 1,000 of the `rejected` lines."""

    added: int
    extended: int
    rejected: int
    rejects: list[dict[str, Any]]
    dry_run: bool


class ExplainOut(BaseModel):
    """What the loaded program would do, and which rule or set decided."""

    verdict: str
    reason: str
    rule: RuleOut | None
    set: str | None
    protected_by: dict[str, str] | None
    monitored: list[RuleOut]
    monitored_sets: list[str]
    frame: str


class TokenIn(Strict):
    name: str
    role: Role
    origin: str | None = None
    ttl: Duration | None = None


class TokenOut(BaseModel):
    name: str
    role: Role
    origin: str
    created_at: datetime
    expires_at: datetime | None
    secret: str | None = Field(default=None, description="Shown once, when it is made")


class BypassIn(Strict):
    on: StrictBool


class BypassOut(BaseModel):
    on: bool
    audited: bool


def seconds(value: float | str | None, field: str) -> float | None:
    return parse_duration(value, field) if isinstance(value, str) else value


def timestamp(unix: float) -> datetime:
    return datetime.fromtimestamp(min(max(unix, 0), 2**40), UTC)


def rule_out(controller: Controller, rule: Rule, now: Now) -> dict[str, Any]:
    """A RuleOut's fields."""
    hits = controller.hits(rule.source)
    expires, confirm = rule.expires_ns, rule.confirm_by_ns
    return {
        "id": rule.id,
        "match": {"source": str(rule.source)},
        "action": rule.action,
        "mode": rule.mode,
        "origin": rule.origin,
        "reason": rule.reason,
        "tags": list(rule.tags),
        "created_at": timestamp(rule.created_at),
        "expires_at": timestamp(now.wall(expires)) if expires else None,
        "expires_in": (expires - now.ns) / 1e9 if expires else None,
        "confirm_in": (confirm - now.ns) / 1e9 if confirm else None,
        "slot": controller.state.image.entries.get(rule.source),
        "packets": hits.packets,
        "bytes": hits.bytes,
        "etag": rule.etag,
    }
