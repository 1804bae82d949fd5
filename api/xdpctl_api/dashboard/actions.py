# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of forms: each calls the API once, and says in a sentence what was done.

A script gets this sentence as JSON. Without scripts, the browser is led back to the form's page.
"""

from math import isfinite, nan
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from xdpctl.base.durations import show_duration
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import NotFoundError, Refused, RuleError
from xdpctl_api.dashboard.api_calls import ApiCalls, segment
from xdpctl_api.dashboard.done import Action, Done
from xdpctl_api.dashboard.forms import Form, needed, page_of, read_form
from xdpctl_api.dashboard.markup import soonest
from xdpctl_api.dashboard.others import OTHERS
from xdpctl_api.dashboard.page import Page, PageIn, PageRoute, said_at, scripted, trouble
from xdpctl_api.problems import of_error

router = APIRouter(prefix="/actions", route_class=PageRoute, include_in_schema=False)
_UNCONFIRMED = "urn:xdpctl:problem:unconfirmed"
_RELEASE_TTL = "1h"


def _rule_path(form: Form) -> str:
    return f"/v1/rules/{segment(needed(form, 'id'))}"


async def _block(api: ApiCalls, form: Form) -> Done:
    """Drop or limit the packets of a match."""
    body: dict[str, Any] = {
        "match": _match(needed(form, "match")),
        "action": form.get("action", "drop"),
        "reason": form.get("reason", "dashboard"),
    }
    body |= {name: form[name] for name in ("ttl", "confirm_within", "mode") if name in form}
    if body["action"] == "limit":
        body["limit"] = {"pps": _number(form, "pps"), "per": form.get("per", "all")}
    body |= {"force": True} if "force" in form else {}
    rule = await api.call("POST", "/v1/rules", body)
    seconds, trial = soonest(rule), rule["confirm_in"] is not None
    until = f", ends in {show_duration(seconds)}" if seconds is not None else ""
    verb = "counts only" if rule["mode"] == "monitor" else rule["does"]
    more = "".join(f"; {warning}" for warning in rule["warnings"])
    text = f"{verb}: {rule['words']}{until}{' unless kept' if trial else ''}{more}"
    return Done(text, rule["change"], keep=rule["id"] if trial else "", ends_in=seconds)


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
    rule = await api.call("POST", f"{_rule_path(form)}/confirm", etag=form.get("etag", ""))
    return Done(f"kept until it is removed: {rule['does']} of {rule['words']}", rule["change"])


async def _enforce(api: ApiCalls, form: Form) -> Done:
    force = {"force": "true"} if "force" in form else {}
    where, etag = _rule_path(form), form.get("etag", "")
    if form.get("action"):
        body = {"mode": "enforce", "action": form["action"]} | ({"force": True} if force else {})
        rule = await api.call("PATCH", where, body, etag=etag)
    else:
        rule = await api.call("POST", f"{where}/enforce", params=force, etag=etag)
    return Done(f"enforced: {rule['does']} of {rule['words']}", rule["change"])


async def _remove(api: ApiCalls, form: Form) -> Done:
    rule = await api.call("DELETE", _rule_path(form), etag=form.get("etag", ""))
    return Done(f"removed: {rule['does']} of {rule['words']}", rule["change"])


async def _release(api: ApiCalls, form: Form) -> Done:
    """Let a source pass for a while."""
    body = {"source": needed(form, "source"), "ttl": form.get("ttl", _RELEASE_TTL)}
    body |= {name: form[name] for name in ("ticket", "reason") if name in form}
    release = await api.call("POST", "/v1/releases", body)
    lasts = show_duration(release["expires_in"])
    return Done(f"{release['text']} passes for {lasts}", release["change"])


async def _undo(api: ApiCalls, form: Form) -> Done:
    number = segment(needed(form, "change"))
    force = {"force": "true"} if "force" in form else {}
    undone = await api.call("POST", f"/v1/history/{number}/undo", params=force)
    stayed = "".join(f"; {r['subject']} stays: {r['why']}" for r in undone["reasons"][:3])
    return Done(f"undone: {undone['restored']} changed back{stayed}", undone["change"])


async def _automatic(api: ApiCalls, form: Form) -> Done:
    """Stop detectors, or let them do what the configuration says."""
    mode = None if needed(form, "mode") == "configured" else form["mode"]
    automatic = await api.call("PUT", "/v1/automatic", {"mode": mode})
    current = automatic["mode"] or automatic["configured"]
    if current != "off":
        return Done(f"automatic is {current}")
    where = "" if mode else " in the configuration"
    return Done(f"automatic is off{where}: detectors add no rules")


async def _bypass(api: ApiCalls, form: Form) -> Done:
    on = needed(form, "on") == "true"
    if on and "sure" not in form:
        raise RuleError("not confirmed", "sure", "confirm that everything shall pass")
    bypass = await api.call("POST", "/v1/bypass", {"on": on})
    text = "the bypass is on: everything passes" if bypass["on"] else "the bypass is off: filtering"
    return Done(text if bypass["audited"] else f"{text}; it could not be audited")


async def _note(api: ApiCalls, form: Form) -> Done:
    identity = segment(needed(form, "id"))
    await api.call("POST", f"/v1/incidents/{identity}/notes", {"text": needed(form, "text")})
    return Done("the note is kept")


async def _open_incident(api: ApiCalls, form: Form) -> Done:
    body = {"victim": needed(form, "victim"), "note": form.get("note", "")}
    opened = await api.call("POST", "/v1/incidents", body)
    return Done(f"opened: {opened['id']}", page=f"/incidents/{opened['id']}")


async def _allow_incident(api: ApiCalls, form: Form) -> Done:
    answer = await api.call("POST", f"/v1/incidents/{segment(needed(form, 'id'))}/allow")
    expected = "; ".join(expectation["text"] for expectation in answer["expected"])
    return Done(f"rules ended: {len(answer['removed'])}; expected from now on: {expected}")


async def _close_incident(api: ApiCalls, form: Form) -> Done:
    closed = await api.call("POST", f"/v1/incidents/{segment(needed(form, 'id'))}/close")
    return Done(f"{closed['id']} stays open" if closed["open"] else f"closed: {closed['id']}")


async def _refresh(api: ApiCalls, form: Form) -> Done:
    refreshed = await api.call("POST", f"/v1/sets/{segment(needed(form, 'name'))}/refresh")
    outcome = "changed" if refreshed["changed"] else "unchanged"
    return Done(f"{refreshed['name']}: {outcome}", refreshed["change"])


async def _change_set(api: ApiCalls, form: Form) -> Done:
    body: dict[str, Any] = {"mode": needed(form, "mode")}
    body |= {"force": True} if "force" in form else {}
    changed = await api.call("PATCH", f"/v1/sets/{segment(needed(form, 'name'))}", body)
    return Done(f"{changed['name']} is in mode {changed['mode']}")


async def _create_token(api: ApiCalls, form: Form) -> Done:
    body = {name: form[name] for name in ("name", "role", "origin", "ttl") if name in form}
    token = await api.call("POST", "/v1/tokens", body)
    return Done(f"token {token['name']}, role {token['role']}", secret=token["secret"])


async def _revoke_token(api: ApiCalls, form: Form) -> Done:
    token = await api.call("DELETE", f"/v1/tokens/{segment(needed(form, 'name'))}")
    return Done(f"revoked: {token['name']}")


ACTIONS: dict[str, Action] = {
    "block": _block,
    "confirm": _confirm,
    "enforce": _enforce,
    "remove": _remove,
    "release": _release,
    "undo": _undo,
    "automatic": _automatic,
    "bypass": _bypass,
    "note": _note,
    "open-incident": _open_incident,
    "close-incident": _close_incident,
    "allow-incident": _allow_incident,
    "refresh": _refresh,
    "change-set": _change_set,
    "create-token": _create_token,
    "revoke-token": _revoke_token,
    **OTHERS,
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
