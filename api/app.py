"""The ASGI application: raw routes first, FastAPI for everything else, and problems for every failure.

FastAPI is the control plane (health, metrics, documentation, the shop page). What carries traffic is
dispatched before it, and described in the same OpenAPI document.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse

from api.cors import Cors
from api.docs import mount_docs
from api.http import ASGIApp, ClientGone, Receive, Request, Response, Scope, Send, send_response
from api.intake import Intake
from api.openapi import describe
from api.pages import PageFiles
from api.problems import HttpProblem, problem, problem_of
from api.public import Remembered, recall, respond
from api.router import Match, Route, Router
from api.routes import ROUTES
from api.services import Services
from foundation.errors import EndcapError, Overloaded
from foundation.telemetry import CONTENT_TYPE

CONSOLE = Path(__file__).parent / "console"
log = logging.getLogger("endcap.api")
_FOLLOW_S = 0.25  # how soon trending knows of events that other workers took


def create_app(services: Services, *, watch: bool = True) -> ASGIApp:
    """The application of one process.

    Args:
        services: what the routes work with; its lifespan closes them.
        watch: False leaves following the release pointer and the stream to the caller.
    """
    control = _control_plane(services, watch=watch)
    return Application(services, Router(ROUTES), Cors(services.settings.cors_origins), control)


class Application:
    """Dispatches to raw routes, else to the control plane. Everything that is not an answer is a problem."""

    def __init__(self, services: Services, router: Router, cors: Cors, control: ASGIApp) -> None:
        self._services = services
        self._router = router
        self._cors = cors
        self._control = control
        self._intake = Intake(services.settings)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        started = time.perf_counter()
        send = self._cors.wrap(scope, send)
        if (found := self._recalled(scope)) is not None:
            response = respond(scope, found.answer)
            self._services.telemetry.answered(found.template, response.status, time.perf_counter() - started)
            await send_response(send, response)
            return
        template = "other"
        try:
            match = self._router.match(scope)
            if match is None and not self._cors.is_preflight(scope):
                await self._control(scope, receive, send)
                return
            template = match.template if match else template
            response = await self._answer(match, scope, receive)
        except ClientGone:
            return
        except Exception as error:
            response = _failure(error)
        self._services.telemetry.answered(template, response.status, time.perf_counter() - started)
        await send_response(send, response, head=scope["method"] == "HEAD")

    def _recalled(self, scope: Scope) -> Remembered | None:
        """The public answer that this very target got before: no parsing, and served in any overload."""
        state = self._services.state
        return recall(state.current, scope) if scope["method"] == "GET" and state.ready else None

    async def _answer(self, match: Match | None, scope: Scope, receive: Receive) -> Response:
        method: str = scope["method"]
        methods = match.methods if match else {}
        allowed = _allowed(methods)
        if method == "OPTIONS":
            return Response(b"", 204, [(b"allow", allowed)])
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None or match is None:
            raise problem(405, f"{match.template if match else ''} does not take {method[:20]}", (b"allow", allowed))
        self._admit()
        request = Request(scope, match.path)
        if route.body is None:
            return await self._work(route, request)
        async with self._intake.body(request, receive) as request.body:
            self._admit()
            return await self._work(route, request)

    def _admit(self) -> None:
        """Whether there is room for one more request in work.

        Raises:
            Overloaded: there is none.
        """
        settings = self._services.settings
        if self._in_flight >= settings.max_in_flight:
            raise Overloaded(f"{self._in_flight} requests are in work; try again shortly")
        if self._services.lag.seconds * 1000 > settings.refuse_lag_ms:
            raise Overloaded("more requests come than can be answered; try again shortly")

    async def _work(self, route: Route, request: Request) -> Response:
        """A request that has come whole is in work until it is answered."""
        self._in_flight += 1
        self._services.telemetry.in_flight.set(self._in_flight)
        try:
            return await route.handler(self._services, request)
        finally:
            self._in_flight -= 1


def _allowed(methods: Mapping[str, object]) -> bytes:
    names = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(names)).encode()


def _failure(error: Exception) -> Response:
    """Any exception as a problem; one that nobody foresaw is logged and tells nothing of the inside."""
    known = problem_of(error)
    if known is None:
        log.error("a request failed", exc_info=error)
        known = problem(500, "something went wrong here; it was logged")
    return Response(known.body, known.document.status, known.all_headers)


def _control_plane(services: Services, *, watch: bool) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if watch:
            await services.state.refresh()
        jobs = (services.state.watch(), _follow(services), services.lag.watch()) if watch else ()
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await services.ladder.close()
            if services.close is not None:
                await services.close()

    app = FastAPI(title="Endcap", version="1", lifespan=lifespan, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.add_exception_handler(HTTPException, _http_exception)

    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    async def readyz() -> dict[str, str | bool]:
        if not services.state.ready:
            raise problem(503, "no release is loaded yet", (b"retry-after", b"5"))
        return {
            "status": "ready",
            "release": services.state.current.version,
            "shopper_list": services.settings.shopper_list,  # so that the shop page asks for no list that is not there
        }

    def metrics() -> StarletteResponse:
        return StarletteResponse(services.telemetry.expose(), headers={"content-type": CONTENT_TYPE})

    _operation(app, "/healthz", healthz, summary="The process lives")
    _operation(app, "/readyz", readyz, summary="A release is loaded and warm")
    _operation(app, "/metrics", metrics, summary="Prometheus", response_class=StarletteResponse)
    app.add_exception_handler(HttpProblem, _http_problem)
    describe(app, ROUTES)
    mount_docs(app)
    if CONSOLE.joinpath("index.html").is_file():
        app.mount("/", PageFiles(directory=CONSOLE, html=True), name="console")
    return app


def _operation(app: FastAPI, path: str, answer: Callable[..., Any], **described: Any) -> None:
    """A GET of the control plane, and what goes with one: HEAD, OPTIONS, and 405 for every other method."""
    allowed = (b"allow", _allowed({"GET": answer}))

    async def others(request: StarletteRequest) -> StarletteResponse:
        if request.method == "OPTIONS":
            return StarletteResponse(status_code=204, headers={"allow": allowed[1].decode()})
        raise problem(405, f"{path} does not take {request.method}", allowed)

    app.add_api_route(path, answer, methods=["GET"], tags=["operations"], **described)
    app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    others_methods = ["OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
    app.add_api_route(path, others, methods=others_methods, include_in_schema=False)


async def _http_exception(_: StarletteRequest, error: Exception) -> StarletteResponse:
    """Starlette's own 404 and 405 as problems."""
    assert isinstance(error, HTTPException)  # noqa: S101 (what it is registered for)
    detail = {404: "there is nothing here; see /docs for what there is"}.get(error.status_code, str(error.detail))
    extra = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return _starlette(problem(error.status_code, detail, *extra))


async def _http_problem(_: StarletteRequest, error: Exception) -> StarletteResponse:
    assert isinstance(error, HttpProblem)  # noqa: S101 (what it is registered for)
    return _starlette(error)


def _starlette(found: HttpProblem) -> StarletteResponse:
    headers = {name.decode(): value.decode() for name, value in found.all_headers}
    return StarletteResponse(found.body, found.document.status, headers)


async def _follow(services: Services) -> None:
    """Keep live trending up with the stream, whoever appends to it."""
    while True:
        if services.state.ready:
            try:
                position = await asyncio.to_thread(services.state.current.live.catch_up)
                services.telemetry.stream_position.set(position)
            except EndcapError as error:
                log.warning("trending does not see new events: %s", error)
            except Exception:
                # Trending stands still then; it must not stop for good.
                log.exception("trending could not follow the stream")
        await asyncio.sleep(_FOLLOW_S)
