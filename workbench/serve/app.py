"""The server's paths: what is asked is read and checked, stands in line, and is answered as JSON, errors too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from workbench import __version__
from workbench.images.kinds import kind_of
from workbench.serve import openapi
from workbench.serve.asked import Health
from workbench.serve.bodies import Bodies
from workbench.serve.door import Door
from workbench.serve.kinds import KINDS, Kind
from workbench.serve.limits import Limits, Refused
from workbench.serve.line import Job, Line
from workbench.serve.metrics import Metrics
from workbench.serve.reading import FORM, Item, check, read_form, read_json
from workbench.serve.refusal import JSON, no_such_path, refusal
from workbench.serve.service import Read, Service
from workbench.serve.web import Web

NO_FILES: dict[str, bytes] = {}
NOTHING_OUTSIDE = "default-src 'self' 'unsafe-inline'; img-src 'self' blob: data:"
_encode = msgspec.json.Encoder().encode


class Desk:
    """Takes requests and gives answers."""

    def __init__(self, service: Service, web: Web | None) -> None:
        self.service, self.web = service, web
        self.limits: Limits = service.limits
        self.metrics = Metrics()
        self.bodies = Bodies(self.limits, self.metrics.held.inc)
        self.line: Line[Read] = Line(service, self.limits, self.metrics)

    async def answer(self, kind: Kind, request: Request) -> bytes:
        """The answer as JSON. Raises Refused."""
        late = Refused(408, "the request did not come in time")
        try:
            async with asyncio.timeout(self.limits.seconds), self.bodies.reading(request) as body:
                late = Refused(504, f"no answer within {self.limits.seconds:g} seconds")
                items, wants = await self._asked(kind, request, body)
                return _encode(await self.line.ask(Job(kind.name, items, wants)))
        except TimeoutError:
            raise late from None

    async def _asked(self, kind: Kind, request: Request, body: bytes) -> tuple[Sequence[Item], Any]:
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given == JSON:
            asked, sent = read_json(body, kind.json), NO_FILES
        elif given == FORM:
            asked, sent = await read_form(body, request.headers, kind.form, self.limits)
        else:
            raise Refused(415, f"a body of {given or 'no type'}; send {JSON} or {FORM}", "content-type")
        wants, items = kind.wants(asked, self.service), kind.items(asked, sent)
        check(items, sent, self.service.fields, self.limits, self.web is not None)
        return [await self._fetched(item) for item in items], wants

    async def _fetched(self, item: Item) -> Item:
        if item.url is None or self.web is None:
            return item
        return item.with_picture(await self.web.get(item.url, f"{item.where}picture_url"))

    def health(self) -> dict[str, Any]:
        index = self.service.index
        return {
            "status": "ok",
            "version": __version__,
            "tasks": list(self.service.answers.tasks),
            "fields": list(self.service.fields),
            "indexed": 0 if index is None else len(index.listings),
            "picture_urls": self.web is not None,
            "waiting": self.line.waiting,
        }


def make_app(service: Service, web: Web | None = None) -> FastAPI:
    """`web` fetches pictures by address; without it none is."""
    desk = Desk(service, web)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk.line.open()
        yield
        await asyncio.to_thread(desk.line.close)

    app = FastAPIOffline(
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
        title="mlim",
        version=__version__,
        lifespan=lifespan,
    )
    app.state.seconds = desk.limits.seconds
    app.add_middleware(Door, metrics=desk.metrics)
    for kind in KINDS:
        app.post(f"/{kind.name}", **openapi.post(kind))(_path(desk, kind))
    _add_pages(app, desk)
    app.exception_handler(Refused)(refusal)
    app.exception_handler(HTTPException)(no_such_path)
    app.openapi = lambda: openapi.of(app, service, urls=web is not None)  # type: ignore[method-assign]
    return app


def _path(desk: Desk, kind: Kind) -> Callable[[Request], Awaitable[Response]]:
    async def path(request: Request) -> Response:
        return Response(await desk.answer(kind, request), media_type=JSON)

    return path


def _add_pages(app: FastAPI, desk: Desk) -> None:
    page = files("workbench.serve").joinpath("page.html").read_text("utf-8")

    @app.get("/", **openapi.get("The search page", "text/html"))
    async def search_page() -> Response:
        return Response(page, media_type="text/html", headers={"content-security-policy": NOTHING_OUTSIDE})

    @app.get("/health", **openapi.get("What this server answers", JSON, Health))
    async def health() -> Response:
        return Response(_encode(desk.health()), media_type=JSON)

    @app.get("/metrics", **openapi.get("Figures for Prometheus", "text/plain"))
    async def metrics() -> Response:
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/picture/{id:path}", **openapi.get("The small picture of a listing of the index", "image/*", None, 404))
    async def picture(id: str) -> Response:
        data = desk.service.thumbnail(id)
        if data is None:
            raise Refused(404, "no listing of this id with a picture", "id")
        return Response(data, media_type=f"image/{kind_of(data).lower()}", headers={"cache-control": "max-age=3600"})
