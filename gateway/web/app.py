"""The HTTP side: /metrics, /healthz, /readyz and users' pages. The supervisor serves it for all workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from gateway.callers import CallerBook, PermissionDenied, Unauthenticated
from gateway.web.exposition import Exposition
from gateway.web.pages import MAX_BODY_BYTES, Pages
from gateway.web.preview import PreviewPage

Checks = Callable[[], Mapping[str, str]]
EXPOSITION: web.AppKey[Exposition] = web.AppKey("exposition", Exposition)
CHECKS: web.AppKey[Checks] = web.AppKey("checks")
GUARD: web.AppKey[CallerBook | None] = web.AppKey("guard")
OK = "ok"


def make_app(
    exposition: Exposition, checks: Checks, guard: CallerBook | None = None, pages: Pages | None = None,
    preview: PreviewPage | None = None,
) -> web.Application:
    """Return the application.

    checks: name -> "ok" or what is wrong; any that is not ok makes /readyz answer 503.
    guard: when other hosts can reach this, who may read /metrics and the single checks (Bearer key, read_metrics).
    pages: of wallet users, open to whoever has a link. preview: of templates, with a guard of its own.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[EXPOSITION] = exposition
    app[CHECKS] = checks
    app[GUARD] = guard
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    if pages is not None:
        pages.add_to(app.router)
    if preview is not None:
        preview.add_to(app.router)
    app.on_response_prepare.append(_harden)
    return app


async def metrics(request: web.Request) -> web.Response:
    """Answer with all metrics."""
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    accept = request.headers.get("Accept", "")
    body, content_type = await asyncio.to_thread(request.app[EXPOSITION].render, accept)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def healthz(_request: web.Request) -> web.Response:
    """Answer 200: the process lives and its loop turns."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 when every check is ok, else 503; tell which, to those who may know."""
    checks = dict(request.app[CHECKS]())
    ready = all(state == OK for state in checks.values())
    told: dict[str, object] = {"ready": ready}
    if _refusal(request) is None:
        told["checks"] = checks
    return web.Response(body=orjson.dumps(told), content_type="application/json", status=200 if ready else 503)


def _refusal(request: web.Request) -> web.Response | None:
    guard = request.app[GUARD]
    if guard is None:
        return None
    try:
        guard.identify(request.headers.get("Authorization")).require("read_metrics")
    except Unauthenticated as error:
        return web.Response(status=401, text=f"{error}\n", headers={"WWW-Authenticate": "Bearer"})
    except PermissionDenied as error:
        return web.Response(status=403, text=f"{error}\n")
    return None


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "walletpush"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
