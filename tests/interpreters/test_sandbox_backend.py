"""Sandboxes of deepagents' packages: the conformance suite, and their failures."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.interpreters.shell_sandbox import Shells, ShellSandbox

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters import sandbox_backend
from langchain_assistants.interpreters.sandbox_backend import SandboxBackendInterpreter
from langchain_assistants.testing import InterpreterConformance

PYTHON = os.path.realpath(sys.executable)  # not the environment's, which starts slowly


class TestSandboxBackend(InterpreterConformance):
    """A provider over a shell."""

    streams = False

    @pytest.fixture(scope="class")
    @classmethod
    def provider(
        cls, tmp_path_factory: pytest.TempPathFactory
    ) -> SandboxBackendInterpreter:
        shells = Shells(tmp_path_factory.mktemp("shells"))
        return SandboxBackendInterpreter(shells.open, close=shells.end, python=PYTHON)


@pytest.fixture
def shells(tmp_path: Path) -> Shells:
    return Shells(tmp_path)


@pytest.fixture
def interpreter(shells: Shells) -> SandboxBackendInterpreter:
    return SandboxBackendInterpreter(shells.open, close=shells.end, python=PYTHON)


async def test_a_sandbox_that_ends_is_an_error_and_then_replaced(
    interpreter: SandboxBackendInterpreter, shells: Shells
) -> None:
    session = interpreter.session()
    first = await session.start()
    await shells.end(shells.sandboxes[first])
    with pytest.raises(InterpreterError, match=f"{first} could not be used"):
        await session.run("1", timeout=30)
    assert (await session.run("1", timeout=30)).state_lost
    assert session.id != first


async def test_its_end_is_left_to_its_package_unless_it_is_told_how(
    interpreter: SandboxBackendInterpreter, shells: Shells
) -> None:
    async def open_later(id: str | None) -> ShellSandbox:
        return shells.open(id)

    keeping = SandboxBackendInterpreter(open_later, python=PYTHON)
    kept = await keeping.session().start()
    session = keeping.session(kept)
    await session.start()
    await session.close()
    await keeping.aclose()
    unused = interpreter.session(kept)
    ended = await interpreter.session().start()
    await interpreter.aclose()
    assert list(shells.sandboxes) == [kept]
    assert ended != kept
    await unused.close()
    assert shells.sandboxes == {}


async def test_without_python_it_says_what_it_needs(shells: Shells) -> None:
    interpreter = SandboxBackendInterpreter(shells.open, python="no-such-python")
    with pytest.raises(InterpreterError, match="There must be no-such-python"):
        await interpreter.session().run("1", timeout=30)


async def test_a_folder_that_cannot_be_made_is_an_error(shells: Shells) -> None:
    interpreter = SandboxBackendInterpreter(shells.open, home="/proc/none")
    with pytest.raises(InterpreterError, match="pass home="):
        await interpreter.session().start()


async def test_a_file_that_is_refused_is_an_error(
    interpreter: SandboxBackendInterpreter,
) -> None:
    session = interpreter.session()
    await session.upload("file", b"")
    with pytest.raises(InterpreterError, match="could not take a file"):
        await session.upload("file/below", b"")


async def test_nothing_is_left_in_the_sandbox_of_earlier_executions(
    interpreter: SandboxBackendInterpreter, shells: Shells
) -> None:
    session = interpreter.session()
    for _ in range(3):
        await session.run("1", timeout=30)
    await session.list_files()
    await session.remove("nothing")
    (sandbox,) = shells.sandboxes.values()
    left = {path.name for path in (sandbox.folder / ".interpreter").iterdir()}
    assert left == {"inside", "single_run.py"}


async def test_what_code_forges_does_no_harm(
    interpreter: SandboxBackendInterpreter,
) -> None:
    code = (
        "import os\n"
        "for fd in range(3, 50):\n"
        '  try: os.write(fd, b\'[[\\n{"type": "stdout"}\\n[]\\n\\xff\\n\')\n'
        "  except OSError: pass\n"
        "print('alive')"
    )
    assert (await interpreter.session().run(code, timeout=30)).stdout == "alive\n"


async def test_the_death_of_the_process_is_told(
    interpreter: SandboxBackendInterpreter,
) -> None:
    code = "print('on', flush=True)\nimport os\nos._exit(3)"
    result = await interpreter.session().run(code, timeout=30)
    assert result.stdout == "on\n"
    assert result.error is not None
    assert result.error.name == "InterpreterDied"


async def test_a_flood_of_pictures_is_stopped(
    interpreter: SandboxBackendInterpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_backend, "EVENT_BYTES", 10_000)
    code = "while True: display('x' * 900)"
    result = await interpreter.session().run(code, timeout=30)
    assert result.stopped == "output_limit"


async def test_a_call_that_is_cancelled_stops_its_process(
    interpreter: SandboxBackendInterpreter, shells: Shells
) -> None:
    session = interpreter.session()
    id = await session.start()
    sandbox = shells.sandboxes[id]
    endless = asyncio.create_task(session.run("while True: pass", timeout=600))
    await sandbox.executes("single_run").wait()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    (stop,) = (sandbox.folder / ".interpreter").glob("*.stop")
    assert (await session.run("print(1)", timeout=30)).stdout == "1\n"
    await session.remove("nothing")
    assert not stop.exists()


async def test_a_sandbox_that_cannot_be_ended_is_an_error(shells: Shells) -> None:
    def fail(sandbox: ShellSandbox) -> None:
        raise ConnectionError

    interpreter = SandboxBackendInterpreter(shells.open, close=fail, python=PYTHON)
    await interpreter.session().start()
    with pytest.raises(InterpreterError, match="could not be used"):
        await interpreter.aclose()
