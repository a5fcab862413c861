"""The code interpreter tool over any provider: by name, as an object, without state."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from langchain_core.tools import tool

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.e2b import E2BInterpreter, E2BSession
from langchain_assistants.interpreters.tool import ToolInterpreter
from langchain_assistants.testing import E2BEmulator
from langchain_assistants.tools import CodeInterpreterTool


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


async def test_a_name_is_enough_and_closing_ends_the_session(
    emulator: E2BEmulator,
) -> None:
    async with CodeInterpreterTool("e2b") as interpreter:
        seen = json.loads(await interpreter.ainvoke({"python_code": "6 * 7"}))
        assert seen["results"] == ["42"]
        assert interpreter.session.home == "/mnt/data"
        assert len(emulator.sandboxes) == 1
    assert emulator.sandboxes == {}


async def test_a_provider_that_was_given_stays_the_owners(
    emulator: E2BEmulator,
) -> None:
    provider = E2BInterpreter()
    others = provider.session()
    await others.start()
    async with CodeInterpreterTool(provider) as interpreter:
        await interpreter.ainvoke({"python_code": "1"})
        assert len(emulator.sandboxes) == 2
    assert list(emulator.sandboxes) == [others.id]


async def test_the_model_is_told_that_nothing_is_kept() -> None:
    @tool
    async def execute(code: str) -> str:
        """Execute code."""
        return f"ran {code}"

    interpreter = CodeInterpreterTool(ToolInterpreter(execute))
    assert "variables and imports do not stay" in interpreter.description
    assert "do not stay" not in CodeInterpreterTool("e2b").description
    seen = json.loads(await interpreter.ainvoke({"python_code": "x"}))
    assert (seen["stdout"], seen["artifacts"]) == ("ran x", [])


def test_an_interpreter_or_a_session_is_needed_and_not_both() -> None:
    with pytest.raises(ConfigurationError, match="an interpreter"):
        CodeInterpreterTool()
    with pytest.raises(ConfigurationError, match="an interpreter"):
        CodeInterpreterTool("e2b", session=E2BSession())
    with pytest.raises(ConfigurationError, match="no interpreter 'docker'"):
        CodeInterpreterTool("docker")
