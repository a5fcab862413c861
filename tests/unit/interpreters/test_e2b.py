"""E2B sessions: their deadline, their state, and what happens when they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters import e2b, output
from langchain_assistants.interpreters.base import (
    Displayed,
    InterpreterSession,
    OutputEvent,
)
from langchain_assistants.interpreters.e2b import E2BSession
from langchain_assistants.testing import E2BEmulator

ENDLESS = "print('on')\nwhile True: pass"
DEADLINE = 0.5


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    monkeypatch.setattr(e2b, "SETTLING_SECONDS", 0)
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def session(emulator: E2BEmulator) -> E2BSession:
    return E2BSession()


async def text(session: InterpreterSession, code: str) -> str:
    """Execute code that shows one value; return it."""
    (shown,) = (await session.run(code, timeout=30)).displayed
    return str(shown.forms["text/plain"])


async def test_it_starts_when_it_is_used_without_internet(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    assert session.id is None
    assert emulator.requests == []
    assert await text(session, "6 * 7") == "42"
    assert session.id == emulator.sandbox.id == await session.start()
    assert emulator.sandbox.options["allow_internet_access"] is False
    assert emulator.paths("POST") == ["/v2/sandboxes", "/execute"]


async def test_its_options_reach_e2b(emulator: E2BEmulator) -> None:
    session = E2BSession(
        api_key=emulator.api_key,
        template="mine",
        env_vars={"A": "b"},
        metadata={"thread": "t"},
        allow_internet_access=True,
        idle_seconds=90,
    )
    assert await text(session, "import os; os.environ['A']") == "b"
    options = emulator.sandbox.options
    assert options["templateID"] == "mine"
    assert options["metadata"] == {"thread": "t"}
    assert options["allow_internet_access"] is True
    assert options["timeout"] == 90


async def test_events_come_in_order_and_are_told_as_they_happen(
    session: E2BSession,
) -> None:
    told: list[OutputEvent] = []

    async def on_event(event: OutputEvent) -> None:
        told.append(event)

    code = (
        "import sys\nclass P:\n  def _repr_png_(self): return b'png'\n"
        "sys.stdout.write('a')\nsys.stderr.write('b')\ndisplay(P())\n{}['k']"
    )
    result = await session.run(code, timeout=30, on_event=on_event)
    assert list(result.events) == told
    assert [type(event).__name__ for event in told] == [
        "Printed",
        "Printed",
        "Displayed",
        "Raised",
    ]
    assert (result.stdout, result.stderr) == ("a", "b")
    assert result.displayed[0].forms["image/png"] == b"png"
    assert result.error is not None
    assert result.error.name == "KeyError"


async def test_a_deadline_holds_and_the_state_is_kept(session: E2BSession) -> None:
    await session.run("x = 1", timeout=30)
    result = await session.run(ENDLESS, timeout=DEADLINE)
    assert (result.stopped, result.state_lost) == ("timeout", False)
    assert result.stdout == "on\n"
    assert await text(session, "x") == "1"


async def test_an_interpreter_that_hangs_after_a_deadline_is_restarted(
    session: E2BSession, emulator: E2BEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e2b, "PROBE_SECONDS", DEADLINE)
    await session.run("x = 1; open('kept.txt', 'w').close()", timeout=30)
    emulator.wedge_after_interrupt = True
    result = await session.run(ENDLESS, timeout=DEADLINE)
    assert (result.stopped, result.state_lost) == ("timeout", True)
    again = await session.run("x", timeout=30)
    assert again.error is not None
    assert again.error.name == "NameError"
    assert again.state_lost is False
    assert [file.path for file in await session.list_files()] == ["/home/user/kept.txt"]


async def test_a_sandbox_that_cannot_be_restarted_is_given_up(
    session: E2BSession, emulator: E2BEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e2b, "PROBE_SECONDS", DEADLINE)
    first = await session.start()
    emulator.wedge_after_interrupt = True
    emulator.fail_next("/contexts", 500)
    result = await session.run(ENDLESS, timeout=DEADLINE)
    assert result.state_lost is True
    assert await text(session, "1") == "1"
    assert session.id != first


async def test_a_call_that_is_cancelled_stops_its_code_and_keeps_the_state(
    session: E2BSession,
) -> None:
    begun = asyncio.Event()

    async def on_event(event: OutputEvent) -> None:
        begun.set()

    endless = asyncio.create_task(
        session.run(f"x = 1\n{ENDLESS}", timeout=30, on_event=on_event)
    )
    await begun.wait()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    result = await session.run("x", timeout=30)
    assert result.state_lost is False
    assert result.displayed == [Displayed({"text/plain": "1"}, is_result=True)]


async def test_an_interrupt_ends_the_execution(session: E2BSession) -> None:
    async def on_event(event: OutputEvent) -> None:
        await session.interrupt()

    await session.interrupt()
    result = await session.run(ENDLESS, timeout=30, on_event=on_event)
    assert result.stopped == "interrupt"
    assert await text(session, "1") == "1"


async def test_a_flood_of_output_is_cut_and_stopped(
    session: E2BSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "TEXT_LIMIT", 1000)
    result = await session.run("while True: print('x' * 99)", timeout=30)
    assert (result.stopped, result.truncated) == ("output_limit", True)
    assert len(result.stdout) == 1000


async def test_a_value_that_is_too_large_is_left_out(
    session: E2BSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "DISPLAY_LIMIT", 10)
    result = await session.run("display('x' * 11)\ndisplay('y')", timeout=30)
    assert result.truncated
    assert all("x" not in value.forms["text/plain"] for value in result.displayed)


async def test_a_form_that_is_not_what_it_says_is_left_out(
    session: E2BSession,
) -> None:
    code = "class P:\n  def _repr_png_(self): return 'no base64!'\nP()"
    (shown,) = (await session.run(code, timeout=30)).displayed
    assert list(shown.forms) == ["text/plain"]


async def test_executions_take_turns_in_one_sandbox(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    results = await asyncio.gather(
        *(session.run(f"print({n})", timeout=30) for n in range(8))
    )
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(8)]
    assert emulator.most_at_once == 1
    assert len(emulator.sandboxes) == 1


def test_several_event_loops_share_a_session(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    shown: list[str] = []

    def work() -> None:
        shown.append(asyncio.run(text(session, "1")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    assert shown == ["1"] * 5
    assert emulator.most_at_once == len(emulator.sandboxes) == 1


async def test_a_sandbox_that_vanished_is_told_once_and_replaced(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    first = await session.start()
    emulator.end(first)
    with pytest.raises(InterpreterError, match=rf"sandbox {first} has ended"):
        await session.run("1", timeout=30)
    assert (await session.run("1", timeout=30)).state_lost is True
    assert (await session.run("1", timeout=30)).state_lost is False
    assert session.id not in (None, first)


async def test_a_sandbox_that_vanishes_in_the_middle_is_told(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    begun = asyncio.Event()

    async def on_event(event: OutputEvent) -> None:
        begun.set()

    endless = asyncio.create_task(session.run(ENDLESS, timeout=30, on_event=on_event))
    await begun.wait()
    emulator.end(await session.start())
    with pytest.raises(InterpreterError, match="has ended"):
        await endless
    assert await text(session, "1") == "1"


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.upload("a", b""),
        lambda session: session.download("a"),
        lambda session: session.remove("a"),
        lambda session: session.list_files(),
    ],
)
async def test_its_files_tell_of_a_vanished_sandbox_too(
    session: E2BSession, emulator: E2BEmulator, use: object
) -> None:
    emulator.end(await session.start())
    with pytest.raises(InterpreterError, match="has ended"):
        await use(session)  # type: ignore[operator]
    assert await text(session, "1") == "1"


async def test_a_failure_of_e2b_keeps_the_sandbox(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    await session.run("x = 1", timeout=30)
    emulator.fail_next("/execute", 500)
    with pytest.raises(InterpreterError, match="may still have its state"):
        await session.run("x", timeout=30)
    assert await text(session, "x") == "1"


async def test_a_sandbox_that_cannot_start_is_an_error_and_tried_again(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    emulator.fail_next("/v2/sandboxes", 500)
    with pytest.raises(InterpreterError, match="could not start"):
        await session.start()
    assert await text(session, "1") == "1"


@pytest.mark.parametrize("key", ["wrong", None])
async def test_a_wrong_or_missing_key_says_where_to_put_one(
    emulator: E2BEmulator, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("E2B_API_KEY")
    session = E2BSession(api_key=key)
    with pytest.raises(InterpreterError, match="E2B_API_KEY") as caught:
        await session.start()
    assert "wrong" not in str(caught.value)
    assert "wrong" not in repr(session)


async def test_a_sandbox_is_found_again_by_its_id(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    await session.run("x = 1", timeout=30)
    again = E2BSession(sandbox_id=session.id)
    assert await text(again, "x") == "1"
    assert len(emulator.sandboxes) == 1


async def test_an_id_that_is_gone_is_replaced_and_told_once(
    emulator: E2BEmulator,
) -> None:
    session = E2BSession(sandbox_id="gone")
    assert (await session.run("1", timeout=30)).state_lost is True
    assert (await session.run("1", timeout=30)).state_lost is False
    assert session.id == emulator.sandbox.id


async def test_use_puts_the_end_off(emulator: E2BEmulator) -> None:
    session = E2BSession(idle_seconds=60)
    await session.run("1", timeout=10)
    assert not any(path.endswith("/timeout") for path in emulator.paths("POST"))
    await session.run("1", timeout=100)
    assert emulator.sandbox.options["timeout"] == 160


async def test_files_go_in_and_out(session: E2BSession) -> None:
    data = bytes(range(256))
    assert await session.upload("a/data.bin", data) == "/home/user/a/data.bin"
    await session.upload("/home/user/.hidden", b"")
    assert await session.download("a/data.bin") == data
    (file,) = await session.list_files()
    assert (file.path, file.size) == ("/home/user/a/data.bin", 256)
    await session.remove(file.path)
    await session.remove(file.path)
    with pytest.raises(InterpreterError, match="no such file"):
        await session.download("a/data.bin")


async def test_close_ends_the_sandbox_and_is_harmless_twice(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    await session.close()
    first = await session.start()
    await session.close()
    await session.close()
    assert emulator.sandboxes == {}
    assert emulator.paths("DELETE") == [f"/sandboxes/{first}"]
    assert (await session.run("1", timeout=30)).state_lost is True


async def test_a_close_that_fails_can_be_repeated(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    id = await session.start()
    emulator.fail_next(f"/sandboxes/{id}", 500)
    with pytest.raises(InterpreterError, match=f"{id} could not be reached"):
        await session.close()
    await session.close()
    assert emulator.sandboxes == {}


async def test_an_error_of_the_listener_is_the_callers_own(
    session: E2BSession,
) -> None:
    async def on_event(event: OutputEvent) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await session.run(ENDLESS, timeout=30, on_event=on_event)
    assert await text(session, "1") == "1"


async def test_what_e2b_says_is_never_quoted(
    session: E2BSession, emulator: E2BEmulator
) -> None:
    emulator.fail_next("/execute", 500)
    with pytest.raises(InterpreterError) as caught:
        await session.run("secret = 1", timeout=30)
    assert "scripted failure" not in str(caught.value)


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(e2b, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigurationError, match=r"pip install 'langchain-assistants\[e2b\]'"
    ):
        E2BSession()
