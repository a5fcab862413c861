"""The runnable and a server of ours over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT, assistant_with
from tests.docs.test_printed_programs import python_blocks
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import statuses
from tests.server.conftest import Servers

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import AuthenticationError
from langchain_assistants.testing import Reply, ScriptedChatModel


@pytest.fixture
def servers(engine_factory: EngineFactory) -> Iterator[Servers]:
    """Servers on loopback; they stop before their engines are closed."""
    with contextlib.closing(Servers()) as servers:
        yield servers


def client_of(url: str, kind: str) -> dict[str, Any]:
    """A client of a server, as the argument that takes it."""
    options: Any = {"api_key": "any", "timeout": TIMEOUT}
    if kind == "azure":
        version = {"azure_endpoint": url, "api_version": "2024-05-01-preview"}
        return {"client": openai.AzureOpenAI(**options, **version)}
    options["base_url"] = f"{url}/v1"
    if kind == "sync":
        return {"client": openai.OpenAI(**options)}
    return {"async_client": openai.AsyncOpenAI(**options)}


class Tokens(AsyncCallbackHandler):
    """Collects what streams."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("kind", ["sync", "async", "azure"])
async def test_any_client_serves_any_call(
    engine_factory: EngineFactory, servers: Servers, ask: Ask, kind: str
) -> None:
    with ScriptedChatModel([calls((add, 1, 2)), "1 + 2 is 3.", "Yes."]) as model:
        url = servers.serve(engine_factory(model))
        made = client_of(url, kind)
        agent = await AssistantRunnable.acreate_assistant(
            "Tutor", "You teach.", [add], "m", run_tools=True, **made
        )
        heard = Tokens()
        (answer,) = await ask(agent, "1 + 2?", {"callbacks": [heard]})
        assert answer.text == "".join(heard.tokens) == "1 + 2 is 3."
        again = {"content": "Really?", "thread_id": answer.thread_id}
        assert [m.text for m in await ask(agent, again)] == ["Yes."]
    (client,) = made.values()
    await client.close() if kind == "async" else client.close()


async def test_a_caller_who_goes_away_cancels_the_run_at_the_server(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    begun, never = asyncio.Event(), asyncio.Event()
    engine = engine_factory([Reply("Late.", wait_for=never)])
    async with openai.AsyncOpenAI(
        api_key="any", base_url=f"{servers.serve(engine)}/v1"
    ) as client:
        stored = assistant_with(engine)
        agent = AssistantRunnable(assistant_id=stored.id, async_client=client)

        async def follow() -> None:
            async for event in agent.astream_run("Hi"):
                if event.event == "thread.run.in_progress":
                    begun.set()

        task = asyncio.create_task(follow())
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        task.cancel()
        await asyncio.wait({task})
    assert statuses(engine) == ["cancelled"]


def test_a_wrong_key_is_told_as_such(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    url = servers.serve(engine_factory(), keys="required")
    made = client_of(url, "sync")
    with pytest.raises(AuthenticationError):
        AssistantRunnable.create_assistant("Tutor", "", [], "m", **made)
    made["client"].close()


def test_the_block_of_the_servers_page_runs(
    engine_factory: EngineFactory,
    servers: Servers,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (block,) = python_blocks("docs/server.md")
    script = [calls((add, 2, 2)), "Four.", calls((add, 4, 1)), "Five."]
    with ScriptedChatModel(script) as model:
        url = servers.serve(engine_factory(model))
        names: dict[str, Any] = {}
        exec(block.replace("http://127.0.0.1:8000", url), names)
        names["client"].close()
    assert capsys.readouterr().out == "Four.\nFive.\n"
