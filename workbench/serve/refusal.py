"""Errors as JSON, as clients get them."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from workbench.serve.limits import Refused

JSON = "application/json"


async def refusal(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    headers = {"retry-after": "1"} if refused.status == 503 else {}
    if refused.status in (408, 413):
        headers["connection"] = "close"  # what else comes is not read
    content = {"errors": [{"field": refused.field and _said(refused.field), "reason": _said(refused.reason)}]}
    return Response(msgspec.json.encode(content), refused.status, headers, JSON)


async def no_such_path(request: Request, error: Exception) -> Response:
    """Of what the framework refuses: a path or a method that isn't there."""
    assert isinstance(error, HTTPException)
    response = await refusal(request, Refused(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response


def _said(text: str) -> str:
    """What a client sent may stand in it: as UTF-8 and not at any length."""
    return text[:500].encode("utf-8", "replace").decode()
