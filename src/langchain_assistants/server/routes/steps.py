"""Run steps, to be read."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.placing import run_of, step_of
from langchain_assistants.server.queries import included, list_query
from langchain_assistants.types.steps import RunStep

router = APIRouter(prefix="/threads/{thread_id}/runs/{run_id}/steps", tags=["steps"])


@router.get("", **doc(lists=RunStep))
async def list_steps(
    request: Request, caller: Caller, thread_id: str, run_id: str
) -> Response:
    """List the steps of a run."""
    contents = included(request)
    params = list_query(request)
    await run_of(caller, thread_id, run_id)
    page = await caller.steps.alist(run_id, **params)
    if not contents:
        page.data = [step.without_found_texts() for step in page.data]
    return answer(page)


@router.get("/{step_id}", **doc(gives=RunStep))
async def retrieve_step(
    request: Request, caller: Caller, thread_id: str, run_id: str, step_id: str
) -> Response:
    """Retrieve a step."""
    contents = included(request)
    step = await step_of(caller, thread_id, run_id, step_id)
    return answer(step if contents else step.without_found_texts())
