"""The conformance suite finds providers that break a rule."""

from __future__ import annotations

import asyncio
import contextlib
import io
import traceback
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool

from langchain_assistants.interpreters.tool import ToolInterpreter, ToolSession
from langchain_assistants.testing import CodeConformance

SUITE = CodeConformance()


def python(
    names: dict[str, Any] | None = None, *, tells: bool = True, keeps: bool = True
) -> BaseTool:
    """Make a tool that executes in this process, with variables of its own."""
    kept = {} if names is None else names

    async def execute(code: str) -> str:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(code, kept if keeps else {})
        except Exception:
            printed.write(traceback.format_exc())
        return printed.getvalue() if tells else ""

    return StructuredTool.from_function(
        coroutine=execute, name="python", description="Execute Python."
    )


async def test_a_good_one_passes() -> None:
    provider = ToolInterpreter(python, stateful=True)
    session = provider.session()
    await SUITE.test_it_is_a_provider_that_works(provider)
    await SUITE.test_a_session_starts_when_it_is_used(provider)
    await SUITE.test_what_code_prints_is_returned(session)
    await SUITE.test_variables_stay_exactly_when_it_says_so(session)
    await SUITE.test_an_exception_is_part_of_the_result(
        session, "print('before')\n1 / 0", "ZeroDivisionError"
    )
    await SUITE.test_executions_take_turns(session)
    await SUITE.test_sessions_are_apart(provider, session)
    await SUITE.test_a_session_is_found_again_or_its_loss_is_told(provider, session)
    await SUITE.test_a_session_that_is_gone_is_replaced_by_an_empty_one(provider)


async def test_output_that_is_lost_is_found() -> None:
    session = ToolInterpreter(python(tells=False)).session()
    with pytest.raises(AssertionError):
        await SUITE.test_what_code_prints_is_returned(session)
    with pytest.raises(AssertionError):
        await SUITE.test_an_exception_is_part_of_the_result(session, "1 / 0", "Zero")


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_wrong_claim_about_variables_is_found(keeps: bool) -> None:
    session = ToolInterpreter(python(keeps=keeps)).session()
    session.stateful = not keeps
    with pytest.raises(AssertionError):
        await SUITE.test_variables_stay_exactly_when_it_says_so(session)


async def test_variables_that_sessions_share_are_found() -> None:
    shared: dict[str, Any] = {}
    provider = ToolInterpreter(lambda: python(shared), stateful=True)
    with pytest.raises(AssertionError):
        await SUITE.test_sessions_are_apart(provider, provider.session())


async def test_a_loss_that_is_not_told_is_found() -> None:
    class Forgetful(ToolInterpreter):
        def session(self, session_id: str | None = None) -> ToolSession:
            return super().session()

    provider = Forgetful(python, stateful=True)
    with pytest.raises(AssertionError):
        await SUITE.test_a_session_that_is_gone_is_replaced_by_an_empty_one(provider)
    with pytest.raises(AssertionError):
        await SUITE.test_a_session_is_found_again_or_its_loss_is_told(
            provider, provider.session()
        )


async def test_executions_that_overlap_are_found() -> None:
    async def slow(code: str) -> str:
        printed = io.StringIO()
        lines = code.splitlines()
        with contextlib.redirect_stdout(printed):
            names: dict[str, Any] = {}
            exec("\n".join(lines[:-1]), names)
            await asyncio.sleep(0)
            exec(lines[-1], names)
        return printed.getvalue()

    class Hasty(ToolSession):
        async def run(self, code: str, **asked: Any) -> Any:
            return await ToolInterpreter(self._tool).session().run(code, **asked)

    tool = StructuredTool.from_function(
        coroutine=slow, name="python", description="Execute Python."
    )
    session = Hasty(lambda: tool, "code", {}, stateful=False, replaces=None)
    with pytest.raises((AssertionError, ValueError)):
        await SUITE.test_executions_take_turns(session)
