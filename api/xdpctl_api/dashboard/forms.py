# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the forms of pages: a few fields of text, each once."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import Request

from xdpctl.errors import RuleError
from xdpctl_api.transport.bodies import read_all

_MOST = 16_384  # bytes
_FIELDS = 32
_KIND = "application/x-www-form-urlencoded"
# a path of this site, with a query
_BACK = re.compile(r"/(?:[A-Za-z0-9._:-]{1,80}(?:/[A-Za-z0-9._:%-]{1,80})?)?(?:\?[^\s\\#]{0,500})?")
Form = Mapping[str, str]


async def read_form(request: Request) -> Form:
    """The fields of a form; RuleError if the body is no form. Empty fields are left out."""
    if request.headers.get("content-type", "").partition(";")[0] != _KIND:
        raise RuleError("this is not a form", "", f"send {_KIND}")
    try:
        text = (await read_all(request, _MOST)).decode()
        fields = parse_qsl(text, strict_parsing=bool(text), max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        raise RuleError(f"the form cannot be read: {error}") from error
    values = dict(fields)
    if len(values) < len(fields):
        raise RuleError("a field was given twice")
    return {name: value.strip() for name, value in values.items() if value.strip()}


def needed(form: Form, name: str) -> str:
    """A field; RuleError if it is missing."""
    if name not in form:
        raise RuleError(f"{name} is empty", name, "fill it in")
    return form[name]


def page_of(form: Form, field: str = "back") -> str:
    """The page to return to; the first page if the field names no page of this site."""
    back = form.get(field, "/")
    return back if _BACK.fullmatch(back) else "/"
