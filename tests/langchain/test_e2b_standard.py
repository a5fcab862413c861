"""LangChain's standard suites on the E2B tool, and an assistant that uses it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from tests.langchain.conftest import Ask, MakeAssistant

from langchain_assistants.testing import E2BEmulator, Reply, ScriptedChatModel, call
from langchain_assistants.tools import E2BCodeInterpreterTool
from langchain_assistants.tools.artifacts import Artifact

pytestmark = pytest.mark.embedded_only("one tool is as another to a backend")

CHART = """
class Chart:
    def _repr_png_(self):
        return b"png of %d" % total
Chart()
"""


@pytest.fixture(autouse=True)
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


class TestE2BToolUnit(ToolsUnitTests):
    """The tool's construction and schema."""

    @property
    def tool_constructor(self) -> type[E2BCodeInterpreterTool]:
        return E2BCodeInterpreterTool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"python_code": "6 * 7"}


class TestE2BToolIntegration(ToolsIntegrationTests):
    """The tool's calls, against the emulator."""

    @property
    def tool_constructor(self) -> type[E2BCodeInterpreterTool]:
        return E2BCodeInterpreterTool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"python_code": "6 * 7"}


async def test_an_assistant_repairs_its_code_and_draws_a_picture(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    artifacts: list[Artifact] = []
    tool = E2BCodeInterpreterTool(on_artifact=artifacts.append)
    file = io.BytesIO(b"month,sales\nmay,10\njune,32\n")
    file.name = "sales.csv"
    uploaded = await tool.aupload_file(file, "sales by month")
    load = f"import csv\nrows = list(csv.DictReader(open('{uploaded.remote_path}')))\n"
    codes = [
        f"{load}sum(row['sales'] for row in rows)",
        "total = sum(int(row['sales']) for row in rows)\ntotal",
        CHART,
    ]
    steps: list[Any] = [
        Reply(tool_calls=[call(tool.name, {"python_code": code})]) for code in codes
    ]
    model = ScriptedChatModel([*steps, "42 were sold; see the chart."])
    assistant = make_assistant(model, [tool], run_tools=True)
    (message,) = await ask(assistant, "How many were sold? Draw a chart.")
    assert message.text == "42 were sold; see the chart."
    failed, repaired, drawn = (
        json.loads(output.text)
        for output in model.calls[-1].messages
        if output.type == "tool"
    )
    assert "unsupported operand" in failed["error"]
    assert (repaired["error"], repaired["results"]) == (None, ["42"])
    assert drawn["artifacts"] == ["picture-1.png"]
    assert [(made.name, made.data) for made in artifacts] == [
        ("picture-1.png", b"png of 42")
    ]
    offered = model.calls[0].tools[0]["function"]["description"]
    assert "- `/home/user/sales.csv`: sales by month" in offered


async def test_a_thread_goes_on_when_the_sandbox_vanished(
    make_assistant: MakeAssistant, ask: Ask, emulator: E2BEmulator
) -> None:
    tool = E2BCodeInterpreterTool()
    code = Reply(tool_calls=[call(tool.name, {"python_code": "1"})])
    model = ScriptedChatModel([code, "Ready.", code, "It is gone.", code, "1."])
    assistant = make_assistant(model, [tool], run_tools=True)
    (message,) = await ask(assistant, "Begin.")
    emulator.end(str(tool.sandbox_id))
    said = []
    for _ in range(2):
        (message,) = await ask(
            assistant, {"content": "Go on.", "thread_id": message.thread_id}
        )
        said.append(message.text)
    assert said == ["It is gone.", "1."]
    *_, lost, found = (
        json.loads(output.text)
        for output in model.calls[-1].messages
        if output.type == "tool"
    )
    assert "has ended" in lost["error"]
    assert found["results"] == ["1"]
    assert "lost" in found["note"]
