# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of requests for rules, and for changes of rules."""

from pydantic import Field, StrictInt

from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.requests import RuleRequest
from xdpctl.model.tags import given as asked_tags
from xdpctl_api.shapes.common import Duration, Strict, seconds
from xdpctl_api.shapes.matches import LimitIn, MatchOrText


class RuleIn(Strict):
    """A request for a rule."""

    match: MatchOrText
    action: Action = Action.DROP
    limit: LimitIn | None = Field(default=None, description="The rate, for the action limit")
    spare: Spare | None = Field(
        default=None,
        description="known: packets of known flows and of this host's TCP connections pass; the "
        "default for rules that match on more than a source, except limits per source. "
        "established: only packets of these connections pass. trial: as known, and a few more "
        "flows pass, to measure whom the rule hits",
    )
    priority: StrictInt | None = Field(
        default=None, description="Lower numbers are evaluated first; ties in FlowSpec order"
    )
    mode: Mode = Mode.ENFORCE
    ttl: Duration | None = None
    reason: str = ""
    tags: list[str] = Field(default_factory=list)
    confirm_within: Duration | None = Field(
        default=None, description="Removed after this time unless confirmed"
    )
    force: bool = Field(
        default=False,
        description="Allow a drop wider than /8 (IPv6 /16); an admin may drop everything",
    )
    replace: bool = Field(
        default=False, description="Replace a rule with that match, instead of extending it"
    )

    def ask(self) -> RuleRequest:
        """The request; RuleError if a field is not valid."""
        return RuleRequest(
            match=self.match.match(),
            action=self.action,
            mode=self.mode,
            ttl=seconds(self.ttl, "ttl"),
            confirm_within=seconds(self.confirm_within, "confirm_within"),
            reason=self.reason,
            tags=asked_tags((), tuple(self.tags)),
            spare=self.spare,
            limit=self.limit.rate() if self.limit else None,
            priority=self.priority or 0,
            force=self.force,
            replace=self.replace,
        )


class RuleChange(Strict):
    """Changes of an existing rule; fields that are left out are not changed."""

    action: Action = Action.DROP
    mode: Mode = Mode.ENFORCE
    ttl: Duration | None = Field(default=None, description="Counted from now; null: no expiry")
    reason: str = ""
    tags: list[str] = Field(default_factory=list)
    limit: LimitIn | None = None
    spare: Spare = Spare.KNOWN
    priority: StrictInt = 0
    force: bool = Field(default=False, description="Allow a drop wider than /8 (IPv6 /16)")

    def changes(self) -> dict[str, object]:
        """The given fields by name, `ttl` in seconds; RuleError if one is not valid."""
        fields = self.model_dump(include=self.model_fields_set - {"limit"})
        if "limit" in self.model_fields_set and self.limit is None:
            raise RuleError(
                "limit must not be null", "limit", "give pps or bps, or remove the rule"
            )
        if self.limit is not None:
            fields["limit"] = self.limit.rate()
        if "ttl" in fields:
            fields["ttl"] = seconds(self.ttl, "ttl")
        if "tags" in fields:
            fields["tags"] = tuple(self.tags)
        return fields
