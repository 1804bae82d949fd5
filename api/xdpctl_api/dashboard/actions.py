# SPDX-License-Identifier: GPL-2.0-or-later
"""What the forms of pages do: each is one call of the API, and a sentence that says what was done.

With scripts the answer is JSON; without, it is the page that the form was on.
"""

from collections.abc import Awaitable, Callable
from math import isfinite, nan
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from xdpctl.base.durations import show_duration
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import NotFoundError, Refused, RuleError
from xdpctl_api.dashboard.api_calls import ApiCalls, segment
from xdpctl_api.dashboard.forms import Form, needed, page_of, read_form
from xdpctl_api.dashboard.markup import soonest
from xdpctl_api.dashboard.page import Page, PageIn, PageRoute, said_at, scripted, trouble
from xdpctl_api.problems import of_error

router = APIRouter(prefix="/actions", route_class=PageRoute, include_in_schema=False)
_UNCONFIRMED = "urn:xdpctl:problem:unconfirmed"
_RELEASE_TTL = "1h"


class Done(NamedTuple):
    """What was done, the number of the change, and the page to go to instead of the last one."""

    text: str
    undo: int | None = None
    page: str = ""
    secret: str = ""  # shown once
    keep: str = ""  # the id of a provisional rule
    ends_in: float | None = None  # seconds


Action = Callable[[ApiCalls, Form], Awaitable[Done]]


def _rule_path(form: Form) -> str:
    return f"/v1/rules/{segment(needed(form, 'id'))}"


async def _block(api: ApiCalls, form: Form) -> Done:
    """Drop or limit what a match takes."""
    body: dict[str, Any] = {
        "match": _match(needed(form, "match")),
        "action": form.get("action", "drop"),
        "reason": form.get("reason", "dashboard"),
    }
    body |= {name: form[name] for name in ("ttl", "confirm_within", "mode") if name in form}
    if body["action"] == "limit":
        body["limit"] = {"pps": _number(form, "pps"), "per": form.get("per", "all")}
    body |= {"force": True} if "force" in form else {}
    made = await api.call("POST", "/v1/rules", body)
    seconds, trial = soonest(made), made["confirm_in"] is not None
    until = f", ends in {show_duration(seconds)}" if seconds is not None else ""
    verb = "counts only" if made["mode"] == "monitor" else made["action"]
    more = "".join(f"; {warning}" for warning in made["warnings"])
    text = f"{verb}: {made['text']}{until}{' unless kept' if trial else ''}{more}"
    return Done(text, made["change"], keep=made["id"] if trial else "", ends_in=seconds)


def _match(text: str) -> str:
    """The text of a match; a bare prefix is a source."""
    try:
        return f"src {parse_prefix(text, 'match')}"
    except RuleError:
        return text


def _number(form: Form, name: str) -> float:
    try:
        number = float(needed(form, name))
    except ValueError:
        number = nan
    if not isfinite(number):
        raise RuleError(f"{form[name][:20]!r} is not a number", name, "write 1000")
    return number


async def _confirm(api: ApiCalls, form: Form) -> Done:
    kept = await api.call("POST", f"{_rule_path(form)}/confirm", etag=form.get("etag", ""))
    return Done(f"kept: {kept['action']} {kept['text']}", kept["change"])


async def _promote(api: ApiCalls, form: Form) -> Done:
    force = {"force": "true"} if "force" in form else {}
    made = await api.call(
        "POST", f"{_rule_path(form)}/promote", params=force, etag=form.get("etag", "")
    )
    return Done(f"enforced: {made['action']} {made['text']}", made["change"])


async def _remove(api: ApiCalls, form: Form) -> Done:
    gone = await api.call("DELETE", _rule_path(form), etag=form.get("etag", ""))
    return Done(f"removed: {gone['action']} {gone['text']}", gone["change"])


async def _release(api: ApiCalls, form: Form) -> Done:
    """Let a source pass for a while."""
    body = {"source": needed(form, "source"), "ttl": form.get("ttl", _RELEASE_TTL)}
    body |= {name: form[name] for name in ("ticket", "reason") if name in form}
    made = await api.call("POST", "/v1/releases", body)
    return Done(f"{made['text']} passes for {show_duration(made['expires_in'])}", made["change"])


async def _undo(api: ApiCalls, form: Form) -> Done:
    number = segment(needed(form, "change"))
    force = {"force": "true"} if "force" in form else {}
    done = await api.call("POST", f"/v1/history/{number}/undo", params=force)
    stayed = "".join(f"; {each['subject']} stays: {each['why']}" for each in done["reasons"][:3])
    return Done(f"undone: {done['restored']} changed back{stayed}", done["change"])


async def _freeze(api: ApiCalls, form: Form) -> Done:
    """Stop detectors, or let them do what the configuration says."""
    mode = None if needed(form, "mode") == "configured" else form["mode"]
    found = await api.call("PUT", "/v1/automatic", {"mode": mode})
    now = found["mode"] or found["configured"]
    text = f"detectors: {now}"
    if now == "off":
        why = "frozen" if mode else "off in the configuration"
        text = f"detectors are {why}: they add no rules"
    return Done(text)


async def _bypass(api: ApiCalls, form: Form) -> Done:
    wanted = needed(form, "on") == "true"
    if wanted and "sure" not in form:
        raise RuleError("not confirmed", "sure", "confirm that everything shall pass")
    done = await api.call("POST", "/v1/bypass", {"on": wanted})
    text = "the bypass is on: everything passes" if done["on"] else "the bypass is off: filtering"
    return Done(text if done["audited"] else f"{text}; it could not be audited")


async def _note(api: ApiCalls, form: Form) -> Done:
    identity = segment(needed(form, "id"))
    await api.call("POST", f"/v1/incidents/{identity}/notes", {"text": needed(form, "text")})
    return Done("the note is kept")


async def _open_incident(api: ApiCalls, form: Form) -> Done:
    body = {"victim": needed(form, "victim"), "note": form.get("note", "")}
    opened = await api.call("POST", "/v1/incidents", body)
    return Done(f"opened: {opened['id']}", page=f"/incidents/{opened['id']}")


async def _allow_incident(api: ApiCalls, form: Form) -> Done:
    done = await api.call("POST", f"/v1/incidents/{segment(needed(form, 'id'))}/allow")
    expected = "; ".join(each["text"] for each in done["expected"])
    return Done(f"rules ended: {len(done['removed'])}; expected from now on: {expected}")


async def _close_incident(api: ApiCalls, form: Form) -> Done:
    closed = await api.call("POST", f"/v1/incidents/{segment(needed(form, 'id'))}/close")
    return Done(f"{closed['id']} stays open" if closed["open"] else f"closed: {closed['id']}")


async def _refresh(api: ApiCalls, form: Form) -> Done:
    done = await api.call("POST", f"/v1/sets/{segment(needed(form, 'name'))}/refresh")
    return Done(f"{done['name']}: {'changed' if done['changed'] else 'unchanged'}", done["change"])


async def _change_set(api: ApiCalls, form: Form) -> Done:
    body: dict[str, Any] = {"mode": needed(form, "mode")}
    body |= {"force": True} if "force" in form else {}
    done = await api.call("PATCH", f"/v1/sets/{segment(needed(form, 'name'))}", body)
    return Done(f"{done['name']} is in mode {done['mode']}")


async def _create_token(api: ApiCalls, form: Form) -> Done:
    body = {name: form[name] for name in ("name", "role", "origin", "ttl") if name in form}
    made = await api.call("POST", "/v1/tokens", body)
    return Done(f"token {made['name']}, role {made['role']}", secret=made["secret"])


async def _revoke_token(api: ApiCalls, form: Form) -> Done:
    gone = await api.call("DELETE", f"/v1/tokens/{segment(needed(form, 'name'))}")
    return Done(f"revoked: {gone['name']}")


async def _ask(api: ApiCalls, form: Form) -> Done:
    """Approve a proposal to a BGP peer."""
    body = {"confirm": form.get("confirm", "").strip()}
    where = f"/v1/upstream/announcements/{segment(needed(form, 'id'))}"
    sent = await api.call("POST", where, body)
    return Done(f"asked {sent['peer']} to {sent['what']}, for {show_duration(sent['ends_in'])}")


async def _withdraw(api: ApiCalls, form: Form) -> Done:
    """Take back what a peer was asked; without an id, everything."""
    which = f"/{segment(form['id'])}" if "id" in form else ""
    gone = await api.call("DELETE", f"/v1/upstream/announcements{which}")
    return Done(f"withdrawn: {'; '.join(gone['withdrawn'].values()) or 'nothing stood'}")


ACTIONS: dict[str, Action] = {
    "block": _block,
    "confirm": _confirm,
    "promote": _promote,
    "remove": _remove,
    "release": _release,
    "undo": _undo,
    "freeze": _freeze,
    "bypass": _bypass,
    "note": _note,
    "open-incident": _open_incident,
    "close-incident": _close_incident,
    "allow-incident": _allow_incident,
    "refresh": _refresh,
    "change-set": _change_set,
    "create-token": _create_token,
    "revoke-token": _revoke_token,
    "ask": _ask,
    "withdraw": _withdraw,
}


@router.post("/{name}")
async def act(name: str, request: Request, page: PageIn) -> Response:
    """Do what a form asks for, and say what was done, or why not."""
    form = await read_form(request)
    if name not in ACTIONS:
        raise NotFoundError(f"there is no action {name[:40]!r}")
    try:
        done = await ACTIONS[name](page.api, form)
    except (Refused, RuleError) as error:
        problem = of_error(error)
        fields = {field: value for field, value in form.items() if field != "back"}
        again = fields | {"force": "true"} if problem["type"] == _UNCONFIRMED else None
        back = page_of(form)
        return await trouble(request, problem, again=again, action=name, return_to=back)
    return await _answer(request, page, form, done)


async def _answer(request: Request, page: Page, form: Form, done: Done) -> Response:
    if done.secret:
        return await page.render("secret.html.j2", done=done, return_to=page_of(form))
    if scripted(request):
        where = said_at(request, done.page or page_of(form), done.text, done.undo)
        return JSONResponse({**done._asdict(), "where": where})
    return RedirectResponse(said_at(request, done.page or page_of(form), done.text, done.undo), 303)
