"""LangChain tools as interpreters: their arguments, answers, sessions and failures."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException
from langgraph.errors import GraphInterrupt

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.base import Displayed, Raised
from langchain_assistants.interpreters.tool import ToolInterpreter


def made(function: Callable[..., Any], **fields: Any) -> BaseTool:
    """Make a tool of an async function."""
    return StructuredTool.from_function(
        coroutine=function, name="execute", description="Execute code.", **fields
    )


def calculator() -> BaseTool:
    """Make a tool that keeps variables."""
    names: dict[str, Any] = {}

    async def calculate(code: str) -> str:
        exec(code, names)
        return str(names.get("answer"))

    return made(calculate)


async def test_images_of_the_answer_are_shown() -> None:
    encoded = base64.b64encode(b"png").decode()

    async def draw(code: str) -> list[dict[str, str]]:
        image = {"type": "image", "mime_type": "image/png"}
        return [
            {"type": "text", "text": code},
            {**image, "base64": encoded},
            {**image, "base64": "no base64!"},
        ]

    session = ToolInterpreter(made(draw)).session()
    result = await session.run("seen", timeout=30)
    assert result.stdout == "seen"
    assert result.displayed == [Displayed({"image/png": b"png"})]


@pytest.mark.parametrize("handled", [False, True])
async def test_what_a_tool_raises_is_the_codes_exception(handled: bool) -> None:
    async def fail(code: str) -> str:
        raise ToolException("bad code")

    session = ToolInterpreter(made(fail, handle_tool_error=handled)).session()
    result = await session.run("", timeout=30)
    assert result.error == Raised("ToolException", "bad code")


async def test_an_interrupt_of_langgraph_passes_through() -> None:
    async def ask(code: str) -> str:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        await ToolInterpreter(made(ask)).session().run("", timeout=30)


async def test_an_answer_that_is_no_message_is_an_error() -> None:
    class Answers(BaseTool):
        name: str = "answers"
        description: str = "Answer with anything."

        def _run(self, code: str) -> str:
            raise NotImplementedError

        async def ainvoke(self, input: Any, config: Any = None, **_: Any) -> Any:
            return 42

    with pytest.raises(InterpreterError, match="answered with a int"):
        await ToolInterpreter(Answers()).session().run("", timeout=30)


async def test_files_are_refused_and_none_is_found() -> None:
    session = ToolInterpreter(calculator()).session()
    with pytest.raises(InterpreterError, match="has no files"):
        await session.upload("a", b"")
    with pytest.raises(InterpreterError, match="has no files"):
        await session.download("a")
    await session.remove("a")
    assert await session.list_files() == []


def test_the_argument_is_found_by_its_name_or_because_it_is_alone() -> None:
    async def two(code: str, language: str = "python") -> str:
        return language

    async def unclear(query: str, command: str) -> str:
        return query

    assert ToolInterpreter(made(two)).session()
    assert ToolInterpreter(Tool("old", str.upper, "Echo.")).session()
    with pytest.raises(ConfigurationError, match="Which argument of the tool"):
        ToolInterpreter(made(unclear))
    assert ToolInterpreter(made(unclear), argument="command").session()


def test_threads_never_share_the_variables_of_one_tool() -> None:
    with pytest.raises(ConfigurationError, match="one for each session"):
        ToolInterpreter(calculator(), stateful=True)


async def test_each_session_of_a_stateful_tool_has_its_own() -> None:
    provider = ToolInterpreter(calculator, stateful=True)
    first, second = provider.session(), provider.session()
    await first.run("answer = 42", timeout=30)
    assert (await second.run("", timeout=30)).stdout == "None"
    again = provider.session(first.id)
    assert (await again.run("", timeout=30)).stdout == "42"
    gone = await first.start()
    await first.close()
    result = await provider.session(gone).run("", timeout=30)
    assert (result.stdout, result.state_lost) == ("None", True)
    result = await first.run("", timeout=30)
    assert (result.stdout, result.state_lost) == ("None", True)
    assert first.id != gone


async def test_nobody_trusts_a_stateful_tool_that_was_stopped() -> None:
    async def wait(code: str) -> str:
        await asyncio.Event().wait()
        return ""

    provider = ToolInterpreter(lambda: made(wait), stateful=True)
    result = await provider.session().run("", timeout=0.01)
    assert (result.stopped, result.state_lost) == ("timeout", True)
    stateless = ToolInterpreter(made(wait)).session()
    result = await stateless.run("", timeout=0.01)
    assert (result.stopped, result.state_lost) == ("timeout", False)


async def test_the_end_of_the_provider_forgets_its_sessions() -> None:
    provider = ToolInterpreter(calculator, stateful=True)
    id = await provider.session().start()
    await provider.aclose()
    assert (await provider.session(id).run("", timeout=30)).state_lost
