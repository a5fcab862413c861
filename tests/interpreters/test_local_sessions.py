"""Sessions of the local interpreter: variables, output, files, and their end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters import output
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    InterpreterSession,
    OutputEvent,
    Printed,
)
from langchain_assistants.interpreters.local import Limits, LocalInterpreter
from langchain_assistants.interpreters.local.session import LocalSession

ENDLESS = "print('on')\nwhile True: pass"


async def run(session: InterpreterSession, code: str) -> ExecutionResult:
    return await session.run(code, timeout=60)


async def text(session: InterpreterSession, code: str) -> str:
    """Execute code that shows one value; return it."""
    (shown,) = (await run(session, code)).displayed
    return str(shown.forms["text/plain"])


async def test_variables_live_across_executions(session: LocalSession) -> None:
    assert session.id is None
    assert (await run(session, "x = 41\nimport math")).events == ()
    assert await text(session, "x + math.floor(1.5)") == "42"
    assert session.id == await session.start()


async def test_events_come_in_order_and_are_told_as_they_happen(
    session: LocalSession,
) -> None:
    told: list[OutputEvent] = []

    async def on_event(event: OutputEvent) -> None:
        told.append(event)

    code = (
        "import sys\nclass P:\n  def __repr__(self): return 'P'\n"
        "  def _repr_png_(self): return b'png'\n"
        "  def _repr_html_(self): raise ValueError\n"
        "print('a'); display(P()); sys.stderr.write('b\\n'); print('c'); P()"
    )
    result = await session.run(code, timeout=60, on_event=on_event)
    forms = {"text/plain": "P", "image/png": b"png"}
    assert [event for event in told if event != Printed("stderr", "b\n")] == [
        Printed("stdout", "a\n"),
        Displayed(forms),
        Printed("stdout", "c\n"),
        Displayed(forms, is_result=True),
    ]
    assert list(result.events) == told
    assert (result.stdout, result.stderr) == ("a\nc\n", "b\n")


async def test_what_is_printed_is_told_before_the_end(session: LocalSession) -> None:
    async def on_event(event: OutputEvent) -> None:
        assert event == Printed("stdout", "on\n")
        await session.interrupt()

    result = await session.run(ENDLESS, timeout=60, on_event=on_event)
    assert (result.stopped, result.state_lost, result.error) == (
        "interrupt",
        False,
        None,
    )
    await session.interrupt()
    assert await text(session, "1") == "1"


async def test_an_error_shows_the_code_and_no_frame_of_ours(
    session: LocalSession,
) -> None:
    result = await run(session, "def f():\n  return {}['k']\n\nf()")
    assert result.error is not None
    assert (result.error.name, result.error.message) == ("KeyError", "'k'")
    lines = result.error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(",")[1] for line in lines if "File" in line] == [
        " line 4",
        " line 2",
    ]
    assert "    return {}['k']" in lines
    result = await run(session, "a b")
    assert result.error is not None
    assert result.error.name == "SyntaxError"
    assert "inside" not in result.error.traceback


async def test_a_deadline_interrupts_and_the_state_is_kept(
    session: LocalSession,
) -> None:
    await run(session, "x = 1")
    result = await session.run(ENDLESS, timeout=0.2)
    assert (result.stopped, result.state_lost) == ("timeout", False)
    assert result.stdout == "on\n"
    assert await text(session, "x") == "1"


async def test_a_provider_can_allow_less_time_than_a_call_asks_for() -> None:
    async with LocalInterpreter(limits=Limits(seconds=0.2), pool_size=0) as short:
        result = await short.session().run(ENDLESS, timeout=60)
        assert result.stopped == "timeout"


async def test_a_call_that_is_cancelled_stops_its_code_and_keeps_the_state(
    session: LocalSession,
) -> None:
    begun = asyncio.Event()

    async def on_event(event: OutputEvent) -> None:
        begun.set()

    endless = asyncio.create_task(
        session.run(f"x = 1\n{ENDLESS}", timeout=60, on_event=on_event)
    )
    await begun.wait()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    result = await run(session, "x")
    assert (result.state_lost, result.stdout) == (False, "")
    assert result.displayed == [Displayed({"text/plain": "1"}, is_result=True)]


async def test_an_error_of_the_listener_is_the_callers_own(
    session: LocalSession,
) -> None:
    async def on_event(event: OutputEvent) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await session.run(ENDLESS, timeout=60, on_event=on_event)
    assert await text(session, "1") == "1"


async def test_a_flood_of_small_events_is_cut(
    session: LocalSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "EVENT_LIMIT", 5)
    result = await run(session, "while True: display(1)")
    assert (result.stopped, result.truncated) == ("output_limit", True)
    assert len(result.displayed) == 5


async def test_open_figures_are_shown_as_pictures(session: LocalSession) -> None:
    code = (
        "import matplotlib.pyplot as plt\n"
        "plt.plot([1, 2]); plt.show(); print('between')\nplt.figure(); plt.plot([3])\n"
        "plt.figure()\nNone"
    )
    result = await run(session, code)
    assert [type(event).__name__ for event in result.events] == [
        "Displayed",
        "Printed",
        "Displayed",
    ]
    for shown in result.displayed:
        png = shown.forms["image/png"]
        assert isinstance(png, bytes)
        assert png.startswith(b"\x89PNG")
    assert await text(session, "plt.get_fignums()") == "[]"
    assert result.stderr == ""


async def test_tables_have_more_than_one_form(session: LocalSession) -> None:
    result = await run(
        session,
        "import pandas as pd\npd.DataFrame({'a': [1]}).to_csv('/mnt/data/t.csv')\n"
        "pd.read_csv('/mnt/data/t.csv', index_col=0)",
    )
    (shown,) = result.displayed
    assert "a" in str(shown.forms["text/plain"])
    assert "<table" in str(shown.forms["text/html"])


async def test_the_data_folder_has_its_name_in_python(session: LocalSession) -> None:
    await session.upload("in.txt", b"given")
    code = (
        "import os, pathlib, shutil, sqlite3, tempfile\n"
        "path = pathlib.Path('/mnt/data/sub')\npath.mkdir()\n"
        "shutil.copy('/mnt/data/in.txt', path / 'copy.txt')\n"
        "os.rename('/mnt/data/sub/copy.txt', '/mnt/data/sub/moved.txt')\n"
        "base = sqlite3.connect('/mnt/data/base.db')\n"
        "base.execute('create table t (x)'); base.commit(); base.close()\n"
        "tempfile.TemporaryFile().write(b'x')\n"
        "assert os.path.exists('/mnt/data/in.txt')\n"
        "assert not os.path.exists('/mnt/data2')\n"
        "assert os.path.samefile('/mnt/data', os.environ['DATA_FOLDER'])\n"
        "assert os.path.samefile('/mnt/data', '.')\n"
        "(path / 'moved.txt').read_text(), sorted(os.listdir(b'/mnt/data'))"
    )
    shown = await text(session, code)
    assert shown == "('given', [b'base.db', b'in.txt', b'sub'])"
    assert [file.path for file in await session.list_files()] == [
        "/mnt/data/base.db",
        "/mnt/data/in.txt",
        "/mnt/data/sub/moved.txt",
    ]


async def test_files_go_in_and_out(session: LocalSession) -> None:
    data = bytes(range(256))
    assert await session.upload("a/data.bin", data) == "/mnt/data/a/data.bin"
    await session.upload("/mnt/data/.hidden", b"")
    assert await session.download("a/data.bin") == data
    (file,) = await session.list_files()
    assert (file.path, file.size) == ("/mnt/data/a/data.bin", 256)
    await run(session, "open('a/data.bin', 'ab').write(b'more')")
    (changed,) = await session.list_files()
    assert changed != file
    assert (await session.download(file.path))[256:] == b"more"
    await session.remove(file.path)
    await session.remove(file.path)
    with pytest.raises(InterpreterError, match="no such file"):
        await session.download("a/data.bin")


async def test_a_file_that_is_too_large_is_refused() -> None:
    async with LocalInterpreter(limits=Limits(file_bytes=10), pool_size=0) as small:
        session = small.session()
        with pytest.raises(InterpreterError, match="takes at most 10"):
            await session.upload("a", bytes(11))


async def test_executions_take_turns(session: LocalSession) -> None:
    results = await asyncio.gather(*(run(session, f"print({n})") for n in range(8)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(8)]


def test_several_event_loops_share_a_session(session: LocalSession) -> None:
    shown: list[str] = []

    def work() -> None:
        shown.append(asyncio.run(text(session, "n = globals().get('n', 0) + 1; n")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    assert sorted(shown) == ["1", "2", "3", "4", "5"]


async def test_close_ends_the_code_in_hand(session: LocalSession) -> None:
    begun = asyncio.Event()

    async def on_event(event: OutputEvent) -> None:
        begun.set()

    first = await session.start()
    endless = asyncio.create_task(session.run(ENDLESS, timeout=60, on_event=on_event))
    await begun.wait()
    await session.close()
    await session.close()
    with pytest.raises(InterpreterError, match=f"{first} was closed"):
        await endless
    assert session.id is None
    assert (await run(session, "1")).state_lost is True
    assert session.id not in (None, first)


async def test_a_session_is_found_again_by_its_id(
    interpreter: LocalInterpreter, session: LocalSession
) -> None:
    await run(session, "x = 1")
    assert interpreter.session(session.id) is session
    gone = interpreter.session("local_of_another_process")
    assert (await run(gone, "1")).state_lost is True
    assert (await run(gone, "1")).state_lost is False
    await gone.close()


async def test_a_worker_that_is_killed_from_outside_is_replaced(
    session: LocalSession,
) -> None:
    await run(session, "x = 1; open('kept.txt', 'w').close()")
    id = session.id
    assert session.lodging is not None
    worker = session.lodging.worker
    assert worker is not None
    worker.kill()
    result = await run(session, "'x' in globals()")
    assert result.state_lost is True
    assert result.displayed[0].forms["text/plain"] == "False"
    assert [file.path for file in await session.list_files()] == ["/mnt/data/kept.txt"]
    assert session.id == id


async def test_code_has_a_small_environment_of_its_own(
    session: LocalSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    names = set(eval(await text(session, "import os; list(os.environ)")))
    assert names - {"PWD", "LC_CTYPE"} == {
        *("PATH", "HOME", "DATA_FOLDER", "TMPDIR", "LANG", "MPLBACKEND"),
        *("MPLCONFIGDIR", "PYTHONDONTWRITEBYTECODE"),
        *(f"{name}_NUM_THREADS" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR")),
    }


def test_an_interpreter_session_is_what_it_is(session: LocalSession) -> None:
    fits: InterpreterSession = session
    assert fits.home == "/mnt/data"
    shown: Any = repr(session)
    assert shown == "LocalSession(id=None)"
