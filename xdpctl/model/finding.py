# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a detector asked for a rule: what it saw, and what the rule would hit. Values only."""

import msgspec

from xdpctl.errors import RuleError

BINS_MAX, KINDS_MAX, TEXTS_MAX, TEXT_MAX, VALUES_MAX = 24, 16, 12, 300, 12


class Collateral(msgspec.Struct, frozen=True):
    """Of `samples` packets of normal traffic of this kind, `hits` match; `bound` is the upper
    95 % confidence bound of the share, 0 to 1.
    """

    kind: str
    samples: int
    hits: int
    bound: float


class Deciding(msgspec.Struct, frozen=True):
    """A component that tells attack and normal traffic apart: the shares that have it, 0 to 1.

    `before` is None if no normal traffic of the kind is known.
    """

    component: str
    values: str
    now: float
    before: float | None


class Distribution(msgspec.Struct, frozen=True):
    """The shares of a component's values, now and in normal traffic; `labels` name the bars."""

    component: str
    labels: tuple[str, ...]
    now: tuple[float, ...]
    before: tuple[float, ...]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The evidence for a rule.

    `rate` and `threshold` are packets a second of `kind` to the victim, and `usual` is the highest
    normal rate (0: not known). `heads` is the number of packets that were examined, including
    normal ones, and `coverage` is the share of them that matches. `because` and `rejected` are
    sentences.
    """

    kind: str
    rate: float
    threshold: float
    usual: float = 0.0
    heads: int = 0
    coverage: float = 0.0
    because: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    deciding: tuple[Deciding, ...] = ()
    collateral: tuple[Collateral, ...] = ()
    picture: Distribution | None = None

    def check(self) -> None:
        """RuleError if a text or a list is too long, or a figure is out of range."""
        texts = (*self.because, *self.rejected)
        lists = (self.deciding, VALUES_MAX), (self.collateral, KINDS_MAX), (texts, 2 * TEXTS_MAX)
        for items, most in lists:
            if len(items) > most:
                raise RuleError("a list is too long", "finding", f"send at most {most} items")
        labels = self.picture.labels if self.picture else ()
        if len(labels) > BINS_MAX:
            fix = f"send at most {BINS_MAX} bars"
            raise RuleError("the picture has too many bars", "finding.picture", fix)
        if self.picture and not len(labels) == len(self.picture.now) == len(self.picture.before):
            fix = "send a share for each bar"
            raise RuleError("the picture's lists differ in length", "finding.picture", fix)
        if any(not 0 <= c.hits <= c.samples or not c.samples for c in self.collateral):
            fix = "send 0 to `samples` hits, of at least one sample"
            raise RuleError("hits and samples do not go together", "finding.collateral", fix)
        shares = [self.coverage, *(collateral.bound for collateral in self.collateral)]
        shares += [
            s
            for deciding in self.deciding
            for s in (deciding.now, deciding.before)
            if s is not None
        ]
        shares += [*self.picture.now, *self.picture.before] if self.picture else []
        rates = (self.rate, self.threshold, self.usual, self.heads)
        if not all(0 <= share <= 1.001 for share in shares) or not all(
            0 <= r < 1e12 for r in rates
        ):
            fix = "send shares of 0 to 1, and rates from 0 on"
            raise RuleError("a figure is out of range", "finding", fix)
        words = (self.kind, *(collateral.kind for collateral in self.collateral), *labels)
        words += tuple(
            text for deciding in self.deciding for text in (deciding.component, deciding.values)
        )
        if max(map(len, (*texts, *words)), default=0) > TEXT_MAX:
            fix = f"send at most {TEXT_MAX} characters"
            raise RuleError("a text is too long", "finding", fix)

    @property
    def worst(self) -> Collateral | None:
        """The kind of normal traffic that is hit most; None if no normal traffic is known."""
        return max(self.collateral, key=lambda collateral: collateral.bound, default=None)
