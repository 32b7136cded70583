"""The interactive documentation of the API: Swagger UI from an installed package, so that it needs no internet."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api.pages import PageFiles

PATH = "/docs"
_PAGE = Path(__file__).parent / "docs_page"
_SWAGGER_UI = ("fastapi_swagger", "resources")  # a package, and its folder with Swagger UI's script and style


def mount_docs(app: FastAPI) -> None:
    """Serve ``/docs`` and the files that it asks for; the page reads ``/openapi.json``."""
    files = PageFiles(directory=_PAGE, packages=[_SWAGGER_UI])

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.add_route(PATH, page, include_in_schema=False)
    app.mount(PATH, files, name="docs")
