"""What HTTP adds to the engine: OpenAI's own client and a server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from benchmarks.assistants import Assistants, ask
from benchmarks.first_token import bare_tokens, wait_for_first
from benchmarks.measure import Act, Effort, Timer, interleaved, sampled
from benchmarks.rows import Budget, Row
from benchmarks.scenario import INSTRUCTIONS, QUESTION, check_answer, look_up
from benchmarks.served import BRISK, CALLER, INSTANT, STEADY, model_called, served
from langchain_assistants import AssistantRunnable

_STREAMS = 50
_ASKED: list[Any] = [{"role": "user", "content": QUESTION}]

_row = partial(Row, "wire")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Serve a database and measure requests, streams and whole turns."""
    with (
        served(folder / "served.db") as url,
        OpenAI(api_key="any", base_url=url, max_retries=0) as client,
    ):
        yield from _requests(effort, folder, client)
        yield _first_token(effort, folder, client)
        yield _gaps(effort, client)
        yield _turn(effort, folder, client)
        yield _losses(url)


def _requests(effort: Effort, folder: Path, client: OpenAI) -> Iterator[Row]:
    """Compare requests with the calls of an engine that they lead to.

    By OpenAI's client, and by one that makes no objects of the answers: what the first
    takes for that is not the server's.
    """
    threads = client.beta.threads
    with (
        Assistants(folder / "requests.db", model_called(INSTANT)) as ours,
        _plain(client) as plain,
    ):
        engine, here = ours.engine, ours.engine.threads.create(messages=_ASKED * 20).id
        there = threads.create(messages=_ASKED * 20).id
        assistant, other = ours.agent.assistant_id, _assistant(client, INSTANT)
        message = _ASKED[0]
        acts: dict[str, tuple[Act, Act, Act]] = {
            "retrieve an assistant": (
                lambda: engine.assistants.retrieve(assistant),
                lambda: client.beta.assistants.retrieve(other),
                lambda: plain("GET", f"/assistants/{other}"),
            ),
            "add a message": (
                lambda: engine.messages.create(here, **message),
                lambda: threads.messages.create(there, **message),
                lambda: plain("POST", f"/threads/{there}/messages", message),
            ),
            "list 20 messages": (
                lambda: engine.messages.list(here),
                lambda: threads.messages.list(there),
                lambda: plain("GET", f"/threads/{there}/messages"),
            ),
        }
        for what, (call, request, bare) in acts.items():
            times = interleaved(
                {"call": call, "request": request, "bare": bare},
                rounds=effort.of(full=300, short=30),
                warm_up=5,
            )
            yield _row(
                f"added to the engine's call by HTTP: {what}",
                times["request"].median - times["call"].median,
                "ms",
                times["bare"].median - times["call"].median,
                "no client's objects",
                Budget(3, "value"),
            )


@contextmanager
def _plain(client: OpenAI) -> Iterator[Callable[..., bytes]]:
    """Yield what sends a request on a connection that is kept, and reads the answer."""
    url = client.base_url
    with closing(HTTPConnection(url.host, url.port)) as connection:

        def send(method: str, path: str, body: Any = None) -> bytes:
            given = None if body is None else json.dumps(body)
            headers = {"content-type": "application/json"}
            connection.request(method, f"/v1{path}", given, headers)
            answer = connection.getresponse()
            assert answer.status == HTTPStatus.OK
            return answer.read()

        yield send


def _first_token(effort: Effort, folder: Path, client: OpenAI) -> Row:
    model = model_called(BRISK)
    with Assistants(folder / "first_token.db", model) as ours:
        waits: dict[str, Timer] = {
            "bare": partial(wait_for_first, partial(bare_tokens, model)),
            "ours": partial(wait_for_first, ours.tokens),
            "wire": partial(wait_for_first, _tokens_of(client, BRISK)),
        }
        samples = sampled(waits, rounds=effort.of(full=50, short=10))
    bare = samples["bare"].median
    return _row(
        "added to the bare model's first token, over HTTP",
        samples["wire"].median - bare,
        "ms",
        samples["ours"].median - bare,
        "stream_run",
        Budget(15, "value"),
    )


def _gaps(effort: Effort, client: OpenAI) -> Row:
    """Compare the longest silence within an answer with that of the model alone."""
    gaps: dict[str, Timer] = {
        "bare": partial(_widest_gap, partial(bare_tokens, model_called(STEADY))),
        "wire": partial(_widest_gap, _tokens_of(client, STEADY)),
    }
    samples = sampled(gaps, rounds=effort.of(full=20, short=3), warm_up=1)
    return _row(
        "added to the bare model's longest pause between tokens, over HTTP",
        samples["wire"].median - samples["bare"].median,
        "ms",
        budget=Budget(20, "value"),
    )


def _turn(effort: Effort, folder: Path, client: OpenAI) -> Row:
    """Compare a runnable of a server with one of an engine in the process."""
    agent = AssistantRunnable.create_assistant(
        "Tutor", INSTRUCTIONS, [look_up], CALLER, client=client, run_tools=True
    )
    with Assistants(folder / "turn.db", model_called(CALLER), [look_up]) as ours:
        turns: dict[str, Act] = {"ours": ours.turn, "wire": partial(ask, agent)}
        times = interleaved(turns, rounds=effort.of(full=50, short=10))
    return _row(
        "fresh turn over HTTP, one tool call, a model of 20 ms",
        times["wire"].median,
        "ms",
        times["ours"].median,
        "an engine in the process",
        Budget(60, "value"),
    )


def _losses(url: str) -> Row:
    """Count the events that streams at once have fewer than one alone."""

    async def lost() -> int:
        async with AsyncOpenAI(api_key="any", base_url=url, max_retries=0) as client:
            assistant = await client.beta.assistants.create(model=BRISK)
            alone = await _events(client, assistant.id)
            counts = await asyncio.gather(
                *(_events(client, assistant.id) for _ in range(_STREAMS))
            )
        return sum(abs(alone - count) for count in counts)

    return _row(
        f"events lost by {_STREAMS} streams at once, over HTTP",
        asyncio.run(lost()),
        "events",
        budget=Budget(0, "value"),
    )


def _assistant(client: OpenAI, model: str) -> str:
    return client.beta.assistants.create(model=model).id


def _tokens_of(client: OpenAI, model: str) -> Callable[[], Iterator[str]]:
    """Return what asks the question in a new thread and yields the answer's tokens."""
    assistant_id = _assistant(client, model)

    def tokens() -> Iterator[str]:
        events = client.beta.threads.create_and_run(
            assistant_id=assistant_id, thread={"messages": _ASKED}, stream=True
        )
        return _texts(events)

    return tokens


def _texts(events: Iterable[Any]) -> Iterator[str]:
    for event in events:
        if event.event == "thread.message.delta":
            yield event.data.delta.content[0].text.value


def _widest_gap(tokens: Callable[[], Iterator[str]]) -> float:
    """Return the longest time between two tokens of an answer, in seconds."""
    arrivals = [(token, time.perf_counter()) for token in tokens()]
    check_answer("".join(token for token, _ in arrivals))
    return max(later - earlier for (_, earlier), (_, later) in pairwise(arrivals))


async def _events(client: AsyncOpenAI, assistant_id: str) -> int:
    """Count the events of an answer in a new thread."""
    events = await client.beta.threads.create_and_run(
        assistant_id=assistant_id, thread={"messages": _ASKED}, stream=True
    )
    seen = [event async for event in events]
    check_answer("".join(_texts(seen)))
    return len(seen)
