"""The provider of E2B's sandboxes: where code runs, pauses, and the end of all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters import e2b
from langchain_assistants.interpreters.base import InterpreterSession
from langchain_assistants.interpreters.e2b import E2BInterpreter, E2BSession
from langchain_assistants.testing import E2BEmulator


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    monkeypatch.setattr(e2b, "SETTLING_SECONDS", 0)
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


async def text(session: InterpreterSession, code: str) -> str:
    """Execute code that shows one value; return it."""
    (shown,) = (await session.run(code, timeout=30)).displayed
    return str(shown.forms["text/plain"])


async def test_its_code_works_in_mnt_data(emulator: E2BEmulator) -> None:
    session = E2BInterpreter().session()
    assert await text(session, "__import__('os').getcwd()") == "/mnt/data"
    assert await session.upload("in.txt", b"1") == "/mnt/data/in.txt"
    await session.run("open('out.txt', 'w').write(open('in.txt').read())", timeout=30)
    assert sorted(file.path for file in await session.list_files()) == [
        "/mnt/data/in.txt",
        "/mnt/data/out.txt",
    ]
    assert await session.download("/mnt/data/out.txt") == b"1"
    assert await text(session, "[name for name in dir() if name[0] != '_']") == (
        "['display']"
    )


async def test_an_interpreter_that_was_restarted_works_there_again(
    emulator: E2BEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e2b, "PROBE_SECONDS", 0.5)
    session = E2BInterpreter().session()
    await session.start()
    emulator.wedge_after_interrupt = True
    result = await session.run("while True: pass", timeout=0.5)
    emulator.wedge_after_interrupt = False
    assert result.state_lost
    assert await text(session, "__import__('os').getcwd()") == "/mnt/data"


async def test_a_folder_that_cannot_be_made_is_an_error_and_no_sandbox_is_left(
    emulator: E2BEmulator,
) -> None:
    session = E2BInterpreter(home="/proc/no/such/folder").session()
    with pytest.raises(InterpreterError, match="use another `home`"):
        await session.start()
    assert emulator.sandboxes == {}
    assert session.id is None


async def test_a_sandbox_is_found_again_from_another_provider(
    emulator: E2BEmulator,
) -> None:
    session = E2BInterpreter().session()
    await session.run("x = 1", timeout=30)
    again = E2BInterpreter().session(session.id)
    result = await again.run("x", timeout=30)
    assert (result.error, result.state_lost) == (None, False)
    assert len(emulator.sandboxes) == 1


async def test_its_sandboxes_end_when_they_are_idle_unless_they_may_pause(
    emulator: E2BEmulator,
) -> None:
    await E2BInterpreter().session().start()
    assert "autoPause" not in emulator.sandbox.options
    emulator.end(emulator.sandbox.id)
    await E2BInterpreter(pause=True).session().start()
    assert emulator.sandbox.options["autoPause"] is True


async def test_a_paused_sandbox_goes_on_where_it_was(emulator: E2BEmulator) -> None:
    session = E2BInterpreter(pause=True).session()
    await session.run("x = 1", timeout=30)
    emulator.sandbox.paused = True  # as E2B does at the time-out
    with pytest.raises(InterpreterError, match="may still have its state"):
        await session.run("x", timeout=30)
    assert await text(session, "x") == "1"
    emulator.sandbox.paused = True
    again = E2BInterpreter(pause=True).session(session.id)
    assert await text(again, "x") == "1"
    assert len(emulator.sandboxes) == 1


@pytest.mark.parametrize("pause", [False, True])
async def test_the_end_of_the_provider_is_that_of_its_sandboxes_or_a_pause(
    emulator: E2BEmulator, pause: bool
) -> None:
    provider = E2BInterpreter(pause=pause)
    started = [await provider.session().start() for _ in range(2)]
    elsewhere = await E2BSession().start()
    unused = provider.session(elsewhere)
    await provider.aclose()
    await provider.aclose()
    left = {id: one.paused for id, one in emulator.sandboxes.items()}
    kept = dict.fromkeys(started, True) if pause else {}
    assert left == {elsewhere: False, **kept}
    await unused.close()
    assert elsewhere not in emulator.sandboxes


async def test_one_sandbox_that_cannot_be_ended_does_not_keep_the_others(
    emulator: E2BEmulator,
) -> None:
    provider = E2BInterpreter()
    first, second = provider.session(), provider.session()
    emulator.fail_next(f"/sandboxes/{await first.start()}", 500)
    await second.start()
    with pytest.raises(InterpreterError, match=f"{first.id} could not be reached"):
        await provider.aclose()
    assert list(emulator.sandboxes) == [first.id]


def test_its_check_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "key")
    assert E2BInterpreter().check() == []
    monkeypatch.delenv("E2B_API_KEY")
    assert E2BInterpreter(api_key="key").check() == []
    monkeypatch.setattr(e2b, "find_spec", lambda name: None)
    install, key = E2BInterpreter().check()
    assert "langchain-assistants[e2b]" in install
    assert "E2B_API_KEY" in key
    with pytest.raises(ConfigurationError, match="pip install"):
        E2BInterpreter().session()
