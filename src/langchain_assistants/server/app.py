"""Makes the application: routes, frame, health, documents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any
from weakref import WeakSet

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Match

from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.errors import AssistantsError
from langchain_assistants.server import v1
from langchain_assistants.server.callers import Caller, KeyPolicy, beta
from langchain_assistants.server.documentation import openapi
from langchain_assistants.server.documentation_page import page
from langchain_assistants.server.events import PING_SECONDS
from langchain_assistants.server.frame import Frame
from langchain_assistants.server.metrics import CONTENT_TYPE, Metrics
from langchain_assistants.server.routes import (
    assistants,
    files,
    messages,
    runs,
    steps,
    threads,
    uploads,
    vector_stores,
)
from langchain_assistants.server.v1 import V1Answers

MAX_BODY_BYTES = 32 * 1024 * 1024
_CORS_HEADERS = ["x-request-id", "openai-processing-ms", "openai-poll-after-ms"]

# `/threads/runs` must be found before `/threads/{thread_id}`.
_WITH_BETA = (assistants, runs, steps, messages, threads, vector_stores, v1)
_WITHOUT_BETA = (files, uploads)


def create_app(
    engine: AssistantsEngine,
    *,
    keys: KeyPolicy = "required",
    strict_beta_header: bool = False,
    max_body_bytes: int = MAX_BODY_BYTES,
    cors_origins: Sequence[str] = (),
    ping_seconds: float = PING_SECONDS,
) -> FastAPI:
    """Make the ASGI application that serves an engine's Assistants API under `/v1`.

    Azure's paths, `/openai` and `/openai/v1`, lead to the same operations. The engine
    stays its opener's to close.

    Args:
        engine: Whose objects are served; each API key sees those of its tenant.
        keys: `"required"`; `"loopback"`: requests without a key are the tenant
            "default"'s, if they are addressed to this machine; `"none"`: wherever they
            come from.
        strict_beta_header: Refuse requests without `OpenAI-Beta: assistants=v2`.
        max_body_bytes: The largest JSON body.
        cors_origins: Origins whose web pages may call; none by default.
        ping_seconds: After such a silence a stream sends a comment.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> app = create_app(engine)  # uvicorn module:app
    """
    metrics = Metrics()
    app = FastAPI(
        routes=list(_routes(strict_beta_header)),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.engine = engine
    app.state.keys = keys
    app.state.max_body_bytes = max_body_bytes
    app.state.metrics = metrics
    app.state.ping_seconds = ping_seconds
    app.state.draining = False
    app.state.streams = WeakSet()
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _let_through)
    app.add_middleware(V1Answers)
    app.add_middleware(Frame, metrics=metrics)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_CORS_HEADERS,
        )
    return app


@cache
def _routes(strict_beta_header: bool) -> Sequence[BaseRoute]:
    """Return the routes of all applications: to read their signatures takes a while."""
    whole = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    with_beta = [Depends(beta)] if strict_beta_header else []
    for resource in _WITH_BETA:
        whole.include_router(resource.router, prefix="/v1", dependencies=with_beta)
    for resource in _WITHOUT_BETA:
        whole.include_router(resource.router, prefix="/v1")
    whole.include_router(_own)
    return tuple(whole.routes)


async def _let_through(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        # The router names those of the first route of the path alone.
        error.headers = {"allow": ", ".join(_methods_of(request))}
    raise error  # the frame answers


def _methods_of(request: Request) -> list[str]:
    """Name the methods that a request's path takes."""
    return [
        method
        for method in ("DELETE", "GET", "POST")
        for scope in [{**request.scope, "method": method}]
        if any(r.matches(scope)[0] is Match.FULL for r in request.app.routes)
    ]


_own = APIRouter(include_in_schema=False)


@_own.get("/health")
async def health() -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


@_own.get("/ready")
async def ready(request: Request) -> Response:
    """Say whether new requests are welcome: the database answers, nothing ends."""
    if request.app.state.draining:
        return JSONResponse({"status": "draining"}, status_code=503)
    try:
        await request.app.state.engine.assistants.alist(limit=1)
    except AssistantsError:
        return JSONResponse({"status": "no database"}, status_code=503)
    return JSONResponse({"status": "ready"})


@_own.get("/metrics")
async def prometheus(request: Request, caller: Caller) -> Response:
    """Return the metrics; a key is needed where requests need one."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.exposition(), media_type=CONTENT_TYPE)


@_own.get("/openapi.json")
async def document(request: Request) -> Any:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@_own.get("/docs")
async def documentation(request: Request) -> Response:
    """Return a page for readers, made from the document alone."""
    return HTMLResponse(page(request.app.openapi()))
