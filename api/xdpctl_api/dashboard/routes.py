# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard's pages, actions, login and files."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from xdpctl_api.dashboard import about, actions, login, views
from xdpctl_api.dashboard.markup import HEADERS

_STATIC = Path(__file__).with_name("static")


class _Files(StaticFiles):
    """Static files, with the headers of pages; browsers check each time whether a file changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or 304, or 404."""
        answer = await super().get_response(path, scope)
        answer.headers.update({**HEADERS, "Cache-Control": "no-cache"})
        return answer


PAGES = tuple(module.router for module in (views, about, actions, login))


def add_files(app: FastAPI) -> None:
    """Add the files of the pages to the application."""
    app.mount("/static", _Files(directory=_STATIC))
