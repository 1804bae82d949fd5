"""What the controller knows, and a draft of what it is about to change."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from xdpctl.audit import Event
from xdpctl.clock import Now
from xdpctl.model import OPERATOR, Action, Mode, Rule
from xdpctl.plan import PROTECTED, Image, Target, own_slot
from xdpctl.policy import AUTOMATIC, Protection, Quota
from xdpctl.prefix import Prefix
from xdpctl.records import TOKENS, encode, rule_key
from xdpctl.tokens import Token
from xdpctl.wire import Action as WireAction
from xdpctl.wire import Mode as WireMode

_ACTIONS = {Action.DROP: WireAction.DROP, Action.ACCEPT: WireAction.ACCEPT}
_MODES = {Mode.ENFORCE: WireMode.ENFORCE, Mode.MONITOR: WireMode.MONITOR}


NEVER = 1 << 63


def order(source: Prefix) -> tuple[int, bytes, int]:
    """The key by which rules are listed."""
    return len(source.address), source.address, source.length


@dataclass(slots=True)
class State:
    """Rules by source, tokens by digest, and what the kernel was last seen to hold."""

    image: Image
    quotas: Mapping[str, Quota]
    protection: Protection = field(default_factory=lambda: Protection({}))
    rules: dict[Prefix, Rule] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, Token] = field(default_factory=dict)
    _lengths: dict[tuple[int, int], int] = field(default_factory=dict)
    next_expiry: int = NEVER  # no rule ends before this (kernel time)
    _membership: int = 0  # counts the changes of which sources have a rule
    _ordered: tuple[int, list[Prefix]] = (-1, [])

    def ordered(self) -> list[Prefix]:
        """The rules' sources: IPv4 first, by address, wider before narrower."""
        membership, (seen, ordered) = self._membership, self._ordered
        if seen != membership:
            ordered = sorted(list(self.rules), key=order)
            self._ordered = membership, ordered
        return ordered

    @property
    def room(self) -> int:
        """How many more rules fit; suspended ones hold no slot, and count all the same."""
        return min(self.image.room, self.image.capacity - len(self.rules))

    def learn(self, source: Prefix, rule: Rule | None) -> None:
        """Take a rule over, or forget the one on `source`."""
        before = self.rules.pop(source, None) if rule is None else self.rules.get(source)
        if before:
            self.origins[before.origin] -= 1
        if rule:
            ends = rule.kernel_expires_ns
            if ends and ends < self.next_expiry:
                self.next_expiry = ends
            self.rules[source] = rule
            self.origins[rule.origin] += 1
        if (before is None) != (rule is None):
            self._membership += 1
            shape = len(source.address), source.length
            self._lengths[shape] = self._lengths.get(shape, 0) + (1 if rule else -1)

    def lengths(self, source: Prefix) -> list[int]:
        """The prefix lengths that rules of this source's family have."""
        size = len(source.address)
        return [n for (of, n), count in self._lengths.items() if count and of == size]

    def token(self, name: str) -> Token | None:
        """The token of that name."""
        return next((t for t in self.tokens.values() if t.name == name), None)

    def learn_token(self, name: str, token: Token | None) -> None:
        """Take a token over, or forget the one called `name`."""
        kept = {digest: t for digest, t in self.tokens.items() if t.name != name}
        if token:
            kept[token.digest] = token
        self.tokens = kept

    def forget(self) -> None:
        """All that came from the store; what the kernel holds stays known."""
        self.rules.clear()
        self._lengths.clear()
        self._membership += 1
        self.origins.clear()
        self.tokens = {}

    def target(self, source: Prefix, now_ns: int) -> Target | None:
        """What the tables should hold for a prefix: protection first, then the rule on it."""
        if source in self.protection.why:
            return PROTECTED
        rule = self.rules.get(source)
        if rule is None or rule.expired(now_ns) or self.suspended(rule):
            return None
        action, mode = _ACTIONS[rule.action], _MODES[rule.mode]
        return own_slot(action, mode, rule.kernel_expires_ns)

    def suspended(self, rule: Rule) -> bool:
        """Automatic drops never apply inside what has become protected since."""
        automatic = rule.origin != OPERATOR and rule.action is Action.DROP
        return automatic and self.protection.over(rule.source) is not None

    def desired(self, now_ns: int) -> dict[Prefix, Target]:
        """Everything the tables should hold."""
        prefixes = chain(self.rules, self.protection.why)
        targets = ((prefix, self.target(prefix, now_ns)) for prefix in prefixes)
        return {prefix: target for prefix, target in targets if target}

    def quota(self, origin: str) -> Quota:
        return self.quotas.get(origin, AUTOMATIC)


class Draft:
    """Changes that are decided but neither stored nor applied; reads through to the state."""

    def __init__(self, state: State, now: Now) -> None:
        self.state = state
        self.now = now
        self.rules: dict[Prefix, Rule | None] = {}
        self.tokens: dict[str, Token | None] = {}
        self.events: list[Event] = []
        self.created_at = round(now.unix, 3)
        self._origins: Counter[str] = Counter()
        self._room = state.room

    def __bool__(self) -> bool:
        return bool(self.rules or self.tokens or self.events)

    def standing(self, source: Prefix) -> Rule | None:
        """The live rule on exactly this source."""
        rule = self.rules[source] if source in self.rules else self.state.rules.get(source)
        return rule if rule and not rule.expired(self.now.ns) else None

    def of_origin(self, origin: str) -> int:
        return self.state.origins[origin] + self._origins[origin]

    @property
    def room(self) -> int:
        """How many new rules the kernel's tables still take."""
        return self._room

    def put(self, rule: Rule) -> None:
        staged = rule.source in self.rules
        held = self.rules[rule.source] if staged else self.state.rules.get(rule.source)
        if held:
            self._origins[held.origin] -= 1
        elif not staged:
            self._room -= 1
        self._origins[rule.origin] += 1
        self.rules[rule.source] = rule

    def remove(self, rule: Rule) -> None:
        self._origins[rule.origin] -= 1
        self.rules[rule.source] = None

    def note(self, actor: str, action: str, subject: str, /, **detail: object) -> None:
        """An audit event of this change."""
        self.events.append(Event(actor, action, subject, detail))

    def changes(self) -> dict[str, bytes | None]:
        """What the store is to be told."""
        changes = {
            rule_key(source): encode(rule, self.now) if rule else None
            for source, rule in self.rules.items()
        }
        for name, token in self.tokens.items():
            changes[TOKENS + name] = token.pack() if token else None
        return changes

    def way_back(self) -> "Draft":
        """The draft that puts back what stands now where this one changes something."""
        back = Draft(self.state, self.now)
        back.rules = {source: self.state.rules.get(source) for source in self.rules}
        back.tokens = {name: self.state.token(name) for name in self.tokens}
        return back
