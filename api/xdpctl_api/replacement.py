"""One PUT of a set: a list or a feed, read where nobody else waits, then decided in one piece."""

import asyncio

import pydantic
from fastapi import Request
from fastapi.exceptions import RequestValidationError

from xdpctl.control.operations import sets
from xdpctl.control.operations.sets import Changed, SetAsk
from xdpctl.control.state.draft import Draft
from xdpctl.errors import BusyError, RuleError, StaleError
from xdpctl.lists.formats import Feed
from xdpctl.lists.prepare import prepare
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Action, check_name
from xdpctl.model.source_set import NOTHING, FeedSource, SourceSet
from xdpctl_api.bodies import check_unpacked, read_all
from xdpctl_api.context import Context
from xdpctl_api.sets import Choices, ListQuery, SetAnswer, SetIn, set_out

JSON = "application/json"


class Replacement:
    """What one request wants, and what it became."""

    def __init__(self, ctx: Context, name: str, who: Caller) -> None:
        self.ctx, self.name, self.who = ctx, check_name(name, "name"), who
        self._screened_for = Action.DROP

    async def make(self, request: Request, query: ListQuery, etag: str | None) -> SetAnswer:
        """Read, decide, and tell; nothing is decided for a caller who has left."""
        data = await read_all(request, self.ctx.settings.bulk_max_bytes)
        kind = request.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
        document = kind == JSON and query.format == "auto"
        choices: Choices = _document(data, query) if document else query
        listed, ask = await self._read(data, choices)
        if await request.is_disconnected():
            raise BusyError("whoever asked has left; nothing was done")
        before, changed = await self._decide(ask, choices, etag)
        if not choices.dry_run:
            self._note(changed.set)
        fields = set_out(self.ctx, changed.set, ask.entries if choices.dry_run else None)
        return SetAnswer(
            **fields,
            created=changed.created,
            changed=_differs(before, changed.set),
            dry_run=choices.dry_run,
            rejects=listed.rejects,
            warnings=changed.warnings,
        )

    async def _read(self, data: bytes, choices: Choices) -> tuple[Feed, SetAsk]:
        feed = choices.feed.source() if isinstance(choices, SetIn) and choices.feed else None
        if isinstance(choices, SetIn) and (choices.prefixes is None) == (feed is None):
            raise RuleError("neither or both of prefixes and feed", "prefixes", "give one of them")
        if feed:
            self.ctx.refresher.loader.check(feed)
            fetched = self.ctx.fetches.start(lambda: self._fetched(feed, choices))
            return await asyncio.wrap_future(fetched)
        return await asyncio.to_thread(self._listed, data, choices)

    def _fetched(self, feed: FeedSource, choices: Choices) -> tuple[Feed, SetAsk]:
        loaded = self.ctx.refresher.loader.load(feed)
        assert loaded  # without validators there is always an answer
        listed, source = loaded
        return listed, self._ask(listed, choices, source)

    def _listed(self, data: bytes, choices: Choices) -> tuple[Feed, SetAsk]:
        parse = self.ctx.refresher.loader.parse
        if isinstance(choices, ListQuery):
            check_unpacked(data, self.ctx.settings.bulk_max_bytes)
            listed = parse(data, choices.format, choices.column)
        elif isinstance(choices, SetIn) and choices.prefixes:
            listed = parse("\n".join(choices.prefixes).encode(), "plain", "")
        else:
            listed = Feed(dict(NOTHING), 0, 0, 0, [])
        return listed, self._ask(listed, choices, None)

    def _ask(self, listed: Feed, choices: Choices, feed: FeedSource | None) -> SetAsk:
        state = self.ctx.controller.state
        self._screened_for = choices.action or _action(state.sets.get(self.name))
        entries, counts = prepare(state, self.name, listed, self._screened_for, choices.options)
        return SetAsk(
            name=self.name,
            entries=entries,
            action=choices.action,
            mode=choices.mode,
            spare=choices.spare,
            reason=choices.reason,
            feed=feed,
            options=choices.options,
            force=choices.force,
            counts=counts,
        )

    async def _decide(
        self, ask: SetAsk, choices: Choices, etag: str | None
    ) -> tuple[SourceSet | None, Changed]:
        """What stood, and what stands now."""

        def operation(draft: Draft) -> tuple[SourceSet | None, Changed]:
            held = draft.copy() if choices.dry_run else draft
            before = held.set_named(self.name)
            if (ask.action or _action(before)) is not self._screened_for:
                raise StaleError("the set's action changed while the list was read; PUT it again")
            return before, sets.put(held, ask, self.who, etag)

        return await asyncio.wrap_future(self.ctx.controller.submit(operation))

    def _note(self, held: SourceSet) -> None:
        """What was known of another feed is over."""
        if held.feed:
            self.ctx.refresher.looked(held)
        else:
            self.ctx.refresher.attempts.pop(held.name, None)


def _action(held: SourceSet | None) -> Action:
    return held.action if held else Action.DROP


def _differs(before: SourceSet | None, now: SourceSet) -> bool:
    """Whether anything but the time of the last change is another."""
    if before is None or now.report["added"] or now.report["removed"]:
        return True
    same = {"changed_at": before.changed_at, "report": before.report, "origin": before.origin}
    return now.but(**same) != before


def _document(data: bytes, query: ListQuery) -> SetIn:
    for field in query.model_fields_set:
        raise RuleError(f"{field} is in the query", field, "put it into the document")
    try:
        return SetIn.model_validate_json(data)
    except pydantic.ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None
