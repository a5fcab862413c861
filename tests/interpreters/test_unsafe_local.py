"""Code on this machine without isolation: the conformance suite, and its warnings."""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.unsafe_local import UnsafeLocalInterpreter
from langchain_assistants.testing import InterpreterConformance


class TestUnsafeLocal(InterpreterConformance):
    """The provider without a jail."""

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Iterator[UnsafeLocalInterpreter]:
        provider = UnsafeLocalInterpreter(i_understand_no_isolation=True)
        yield provider
        asyncio.run(provider.aclose())


async def test_each_start_of_a_process_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with UnsafeLocalInterpreter(i_understand_no_isolation=True) as provider:
        sessions = [provider.session() for _ in range(2)]
        for session in sessions:
            await session.start()
        await sessions[0].run("import os; os._exit(1)", timeout=30)
        await sessions[0].run("1", timeout=30)
    warnings = [record for record in caplog.records if record.levelno > logging.INFO]
    assert len(warnings) == 3
    assert {record.msg for record in warnings} == {"code_runs_without_any_isolation"}


async def test_the_environment_stays_outside_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    async with UnsafeLocalInterpreter(i_understand_no_isolation=True) as provider:
        code = "import os; print('SECRET_KEY' in os.environ)"
        result = await provider.session().run(code, timeout=30)
    assert result.stdout == "False\n"


async def test_what_code_has_started_ends_with_its_session(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with UnsafeLocalInterpreter(i_understand_no_isolation=True) as provider:
        code = (
            "import subprocess\n"
            f"subprocess.Popen(['sleep', '600'], stdout=open({str(pipe)!r}, 'w'))"
        )
        assert (await provider.session().run(code, timeout=30)).error is None
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
    ended, _, _ = select.select([reading], [], [], 30)
    assert ended
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.parametrize("said", [False, None, "yes"])
def test_it_has_to_be_said_that_nothing_is_isolated(said: Any) -> None:
    with pytest.raises(ConfigurationError, match="isolates nothing"):
        UnsafeLocalInterpreter(i_understand_no_isolation=said)


def test_it_needs_no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    provider = UnsafeLocalInterpreter(i_understand_no_isolation=True)
    assert provider.session().id is None
    assert provider.check() == []
