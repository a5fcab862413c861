"""The hosted code interpreter over every provider that has files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import EngineFactory
from tests.interpreters.shell_sandbox import Shells
from tests.interpreters.test_sandbox_backend import PYTHON

from langchain_assistants.interpreters import e2b
from langchain_assistants.interpreters.base import InterpreterProvider
from langchain_assistants.interpreters.e2b import E2BInterpreter
from langchain_assistants.interpreters.sandbox_backend import SandboxBackendInterpreter
from langchain_assistants.interpreters.unsafe_local import UnsafeLocalInterpreter
from langchain_assistants.testing import (
    E2BEmulator,
    Reply,
    ScriptedChatModel,
    call,
)
from langchain_assistants.testing.interpreter_conformance import PNG

LINK = "sandbox:/mnt/data/clean.csv"
FAILS = "open('/mnt/data/sales.csv').read().clean()"
CLEANS = (
    "text = open('/mnt/data/sales.csv').read()\n"
    "with open('/mnt/data/clean.csv', 'w') as file: file.write(text.upper())\n"
    "print(len(text))"
)
SHOWS = f"class Chart:\n  def _repr_png_(self): return {PNG!r}\nChart()"


@pytest.fixture(params=["e2b", "sandbox", "unsafe-local"])
def provider(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InterpreterProvider]:
    match request.param:
        case "e2b":
            monkeypatch.setattr(e2b, "SETTLING_SECONDS", 0)
            with E2BEmulator() as emulator:
                for name, value in emulator.env.items():
                    monkeypatch.setenv(name, value)
                yield E2BInterpreter()
                assert emulator.sandboxes == {}
        case "sandbox":
            (folder := tmp_path / "sandboxes").mkdir()
            shells = Shells(folder)
            yield SandboxBackendInterpreter(
                shells.open, close=shells.end, python=PYTHON
            )
            assert shells.sandboxes == {}
        case _:
            yield UnsafeLocalInterpreter(i_understand_no_isolation=True)


def test_a_run_repairs_its_code_and_hands_over_a_file_and_a_picture(
    provider: InterpreterProvider, engine_factory: EngineFactory
) -> None:
    codes = [FAILS, CLEANS, SHOWS]
    steps = [
        Reply(tool_calls=[call("code_interpreter", {"code": code})]) for code in codes
    ]
    model = ScriptedChatModel([*steps, f"Done: {LINK}"])
    with engine_factory(model, interpreter=provider) as engine:
        file = engine.files.create(file=("sales.csv", b"a,b"), purpose="assistants")
        assistant = engine.assistants.create(
            model="scripted",
            tools=[{"type": "code_interpreter"}],
            tool_resources={"code_interpreter": {"file_ids": [file.id]}},
        )
        thread = engine.threads.create(messages=[{"role": "user", "content": "Go."}])
        run = engine.runs.create(thread.id, assistant_id=assistant.id)
        assert engine.runs.wait(run.id).status == "completed"
        failed, cleaned, shown = (
            step.step_details.tool_calls[0].code_interpreter.outputs
            for step in list(engine.steps.list(run.id, order="asc"))[:3]
        )
        assert "AttributeError" in failed[0].logs
        assert cleaned[0].logs == "3\n"
        (answer, _) = engine.messages.list(thread.id)
        picture, text = answer.content
        assert picture.image_file.file_id == shown[-1].image.file_id
        assert engine.files.content(picture.image_file.file_id) == PNG
        (link,) = text.text.annotations
        assert engine.files.content(link.file_path.file_id) == b"A,B"
        told = model.calls[-1].messages[-1].text
        forgets = isinstance(provider, SandboxBackendInterpreter)
        assert ("begins without these variables" in told) == forgets
