"""Files of web pages, with headers under which a page runs nothing but its own scripts and asks only us."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

# Catalogues and users write what a page shows: should any of it ever become markup, it can still run nothing.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' https: data:; style-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class PageFiles(StaticFiles):
    """A page's files, each with PAGE_HEADERS."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        """A file, or 304; what is missing is raised as an HTTPException."""
        response = await super().get_response(path, scope)
        response.headers.update(PAGE_HEADERS)
        return response
