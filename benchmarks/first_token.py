"""How much later than from the bare model the first token of an answer arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from benchmarks.assistants import Assistants
from benchmarks.baselines import ASYNC_SHIPPED, SHIPPED, Agent, AsyncAgent
from benchmarks.measure import Effort, Sample, sampled
from benchmarks.rows import Budget, Row
from benchmarks.scenario import (
    INSTRUCTIONS,
    QUESTION,
    check_answer,
    scripted_model,
)

_PROMPT: list[BaseMessage] = [SystemMessage(INSTRUCTIONS), HumanMessage(QUESTION)]
_BUDGET = Budget(5, "value")
# The model must not run ahead of the one who reads its tokens.
_TOKEN_SECONDS = 0.001


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure to the first token of an answer in a new thread, sync and async."""
    rounds = effort.of(full=50, short=10)
    model = partial(scripted_model, calls=0, token_delay=_TOKEN_SECONDS)
    with (
        asyncio.Runner() as loop,
        Assistants(folder / "ours.db", model()) as ours,
        Agent(folder / "shipped.db", model()) as shipped,
        AsyncAgent.open_on(loop, folder / "shipped_async.db", model()) as other,
    ):
        waits = {
            "bare": partial(wait_for_first, partial(bare_tokens, model())),
            "ours": partial(wait_for_first, ours.tokens),
            "shipped": partial(wait_for_first, shipped.tokens),
        }
        yield _added("stream_run", sampled(waits, rounds=rounds), SHIPPED)

        waits = {
            "bare": partial(_wait_async, loop, partial(_bare_async_tokens, model())),
            "ours": partial(_wait_async, loop, ours.async_tokens),
            "shipped": partial(_wait_async, loop, other.tokens),
        }
        yield _added("astream_run", sampled(waits, rounds=rounds), ASYNC_SHIPPED)


def _added(method: str, samples: dict[str, Sample], versus: str) -> Row:
    bare = samples["bare"].median
    return Row(
        "first_token",
        f"added to the bare model's first token, {method}",
        samples["ours"].median - bare,
        "ms",
        samples["shipped"].median - bare,
        versus,
        _BUDGET,
    )


def wait_for_first(tokens: Callable[[], Iterator[str]]) -> float:
    """Return the seconds to the first token; the rest is read beside the clock."""
    begun = time.perf_counter()
    stream = tokens()
    first = next(stream)
    seconds = time.perf_counter() - begun
    check_answer(first + "".join(stream))
    return seconds


def _wait_async(
    loop: asyncio.Runner, tokens: Callable[[], AsyncIterator[str]]
) -> float:
    async def wait() -> float:
        begun = time.perf_counter()
        stream = tokens()
        first = await anext(stream)
        seconds = time.perf_counter() - begun
        check_answer("".join([first, *[token async for token in stream]]))
        return seconds

    return loop.run(wait())


def bare_tokens(model: BaseChatModel) -> Iterator[str]:
    """Ask the question of the model alone and yield the answer's tokens."""
    for chunk in model.stream(_PROMPT):
        if chunk.text:
            yield chunk.text


async def _bare_async_tokens(model: BaseChatModel) -> AsyncIterator[str]:
    async for chunk in model.astream(_PROMPT):
        if chunk.text:
            yield chunk.text
