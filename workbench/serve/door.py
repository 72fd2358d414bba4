"""What every request goes through: it is counted and timed, and no failure shows a client what is inside."""

from __future__ import annotations

import logging
from time import monotonic

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.serve.limits import failed
from workbench.serve.metrics import Metrics
from workbench.serve.refusal import refusal

log = logging.getLogger("mlim.serve")
GONE = 499  # a client that did not wait for its answer; not sent to anybody


class Door:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, status = monotonic(), GONE

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status == GONE:
                await (await refusal(Request(scope), failed()))(scope, receive, sending)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(path, status, monotonic() - begun)
