"""What every interpreter provider has to do, as pytest classes to inherit from.

They need pytest and pytest-asyncio. How well a sandbox isolates is not tested here.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import groupby

import pytest

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    InterpreterProvider,
    InterpreterSession,
    OutputEvent,
    Printed,
)
from langchain_assistants.interpreters.output import TEXT_LIMIT

ENDLESS = "print('on', flush=True)\nwhile True: pass"
STUBBORN = "while True:\n  try:\n    while True: pass\n  except BaseException: pass"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


BREAKS = {
    "it exits": "raise SystemExit(1)",
    "it ends its process": "import os\nos._exit(1)",
    "it closes its files": "import os\nos.close(0), os.close(1), os.close(2)",
    "it writes to stdout's file": "import os\nos.write(1, b'{}\\n\\x00\\xff')",
    "it prints what is no text": "print('\\ud800', '\\x00')",
    "it takes builtins away": (
        "import builtins\n"
        "for name in ('print', 'len', 'str', 'repr'): setattr(builtins, name, None)"
    ),
    "it takes modules away": (
        "import sys\nsys.stdout = sys.stderr = None\nsys.modules.clear()"
    ),
    "its value has no repr": (
        "class Bad:\n  def __repr__(self): raise RuntimeError\nBad()"
    ),
}
ODD_NAMES = {
    "a space": "a b.txt",
    "an umlaut": "größe.txt",
    "a command": 'it\'s "$(x)" `y`.txt',
    "a line end": "two\nlines.txt",
    "an option": "-n",
}


class CodeConformance:
    """What a provider has to do that executes code and has no files.

    A session that is shared by a class's tests has to survive each of them, and is
    used by several event loops.

    Attributes:
        timeout: Seconds that no code here needs.
        deadline: Seconds after which endless code is stopped.
        streams: Whether output is told while the code still executes.
    """

    timeout = 60.0
    deadline = 0.5
    streams = True

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Iterator[InterpreterProvider]:
        """Give the provider; each subclass has its own."""
        raise NotImplementedError("Override the fixture `provider`.")

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, provider: InterpreterProvider) -> Iterator[InterpreterSession]:
        """Give a session for the tests that do not end it."""
        session = provider.session()
        yield session
        asyncio.run(session.close())

    async def run(self, session: InterpreterSession, code: str) -> ExecutionResult:
        """Execute code that ends by itself."""
        result = await session.run(code, timeout=self.timeout)
        assert result.stopped is None
        return result

    async def printed(self, session: InterpreterSession, code: str) -> str:
        """Execute code that goes well; return what it printed."""
        result = await self.run(session, code)
        assert result.error is None
        return result.stdout.strip()

    async def begun(
        self, session: InterpreterSession, code: str
    ) -> asyncio.Task[ExecutionResult]:
        """Have code executed that prints; return when it has, if that is told."""
        printed = asyncio.Event()

        async def listen(event: OutputEvent) -> None:
            printed.set()

        task = asyncio.create_task(
            session.run(code, timeout=self.timeout, on_event=listen)
        )
        task.add_done_callback(lambda _: printed.set())
        if self.streams:
            await printed.wait()
        return task

    async def lives(self, session: InterpreterSession) -> bool:
        """Whether code can be executed after the session may have been lost."""
        try:
            return await self.printed(session, "print('alive')") == "alive"
        except InterpreterError:
            return await self.printed(session, "print('alive')") == "alive"

    @pytest.mark.asyncio
    async def test_it_is_a_provider_that_works(
        self, provider: InterpreterProvider
    ) -> None:
        """Its name is told, and its check finds nothing."""
        assert isinstance(provider, InterpreterProvider)
        assert provider.name
        assert provider.check() == []

    @pytest.mark.asyncio
    async def test_a_session_starts_when_it_is_used(
        self, provider: InterpreterProvider
    ) -> None:
        """Before that it has no id; closing it is harmless at any time."""
        session = provider.session()
        assert session.id is None
        await session.close()
        id = await session.start()
        assert id == session.id == await session.start()
        await session.close()
        await session.close()

    @pytest.mark.asyncio
    async def test_what_code_prints_is_returned(
        self, session: InterpreterSession
    ) -> None:
        """Text of every kind comes as it is."""
        text = "größer 数 \u2028 \x1b[1m😀"
        assert await self.printed(session, f"print({text!r})") == text
        assert await self.printed(session, "") == ""

    @pytest.mark.asyncio
    async def test_variables_stay_exactly_when_it_says_so(
        self, session: InterpreterSession
    ) -> None:
        """Imports and functions too."""
        await self.run(session, "import math\nkept = 41\ndef more(): return kept + 1")
        code = "print(more() if 'more' in dir() and math else 'nothing')"
        expected = "42" if session.stateful else "nothing"
        assert await self.printed(session, code) == expected

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("print('before')\n1 / 0", "ZeroDivisionError"),
            ("def broken(:", "SyntaxError"),
            ("input()", "EOFError"),
        ],
    )
    async def test_an_exception_is_part_of_the_result(
        self, session: InterpreterSession, code: str, name: str
    ) -> None:
        """What was printed before is kept, and the session goes on."""
        result = await self.run(session, code)
        error = result.error
        assert name in (error.name if error else result.stdout)
        assert ("before" in result.stdout) == ("before" in code)
        assert await self.printed(session, "print(1)") == "1"

    @pytest.mark.asyncio
    async def test_endless_code_is_stopped_at_the_deadline(
        self, session: InterpreterSession
    ) -> None:
        """The state is kept, or its loss is told."""
        await self.run(session, "before = 1")
        result = await session.run(ENDLESS, timeout=self.deadline)
        assert result.stopped == "timeout"
        if session.stateful and not result.state_lost:
            assert await self.printed(session, "print(before)") == "1"
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_code_that_catches_everything_is_stopped_too(
        self, session: InterpreterSession
    ) -> None:
        """Then the state may be lost, and that is told."""
        await self.run(session, "before = 1")
        stubborn = (
            "while True:\n  try:\n    while True: pass\n  except BaseException: 0"
        )
        result = await session.run(stubborn, timeout=self.deadline)
        assert result.stopped == "timeout"
        if session.stateful and not result.state_lost:
            assert await self.printed(session, "print(before)") == "1"
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_an_interrupt_ends_the_code(
        self, session: InterpreterSession
    ) -> None:
        """Without code that executes it does nothing."""
        await session.interrupt()
        task = await self.begun(session, ENDLESS)
        if self.streams:
            await session.interrupt()
        while not (self.streams or task.done()):  # nobody knows when it begins
            await session.interrupt()
            await asyncio.sleep(0)
        assert (await task).stopped == "interrupt"
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_a_call_that_is_cancelled_ends_its_code(
        self, session: InterpreterSession
    ) -> None:
        """The next one does not wait for it, and another waiting one is dropped."""
        task = await self.begun(session, ENDLESS)
        waiting = asyncio.create_task(session.run("print(2)", timeout=self.timeout))
        await asyncio.sleep(0)
        waiting.cancel()
        task.cancel()
        done = await asyncio.gather(task, waiting, return_exceptions=True)
        assert [type(error) for error in done] == [asyncio.CancelledError] * 2
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_executions_take_turns(self, session: InterpreterSession) -> None:
        """Each has its own output, and they execute in the order of asking."""
        code = "import time\nbegun = time.time()\nprint({n}, begun, time.time())"
        outputs = await asyncio.gather(
            *(self.printed(session, code.format(n=n)) for n in range(4))
        )
        spans = [output.split() for output in outputs]
        assert [int(n) for n, _, _ in spans] == [0, 1, 2, 3]
        times = [float(time) for _, *span in spans for time in span]
        assert times == sorted(times)

    @pytest.mark.asyncio
    async def test_several_event_loops_share_a_session(
        self, session: InterpreterSession
    ) -> None:
        """A tool's synchronous calls have a loop each."""

        def call(n: int) -> str:
            return asyncio.run(self.printed(session, f"print({n})"))

        threads = [asyncio.to_thread(call, n) for n in range(3)]
        assert await asyncio.gather(*threads) == ["0", "1", "2"]
        assert await self.printed(session, "print(3)") == "3"

    @pytest.mark.asyncio
    async def test_events_are_told_as_they_are_returned(
        self, session: InterpreterSession
    ) -> None:
        """What the listener raises is the caller's."""
        told: list[OutputEvent] = []

        async def listen(event: OutputEvent) -> None:
            told.append(event)

        result = await session.run(
            "print('a')\nprint('b')", timeout=self.timeout, on_event=listen
        )
        assert told == list(result.events)
        assert all(isinstance(event, Printed) for event in told)

        async def refuse(event: OutputEvent) -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await session.run("print('a')", timeout=self.timeout, on_event=refuse)
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_a_flood_of_output_is_cut(self, session: InterpreterSession) -> None:
        """The result says so."""
        lines = TEXT_LIMIT // 1000 + 1000
        result = await session.run(
            f"for _ in range({lines}): print('x' * 999)", timeout=self.timeout
        )
        assert result.truncated
        assert 0 < len(result.stdout) <= TEXT_LIMIT
        assert await self.lives(session)

    @pytest.mark.asyncio
    async def test_sessions_are_apart(
        self, provider: InterpreterProvider, session: InterpreterSession
    ) -> None:
        """One does not see the variables of another."""
        await self.run(session, "apart = 1")
        async with _closing(provider.session()) as other:
            assert await self.printed(other, "print('apart' in dir())") == "False"
            assert other.id != session.id

    @pytest.mark.asyncio
    async def test_a_session_is_found_again_or_its_loss_is_told(
        self, provider: InterpreterProvider, session: InterpreterSession
    ) -> None:
        """The owner asks by the id that he has stored."""
        await self.run(session, "found = 1")
        again = provider.session(await session.start())
        result = await self.run(again, "print('found' in dir())")
        if again.stateful:
            found = result.stdout.strip() == "True"
            assert found != result.state_lost

    @pytest.mark.asyncio
    async def test_a_session_that_is_gone_is_replaced_by_an_empty_one(
        self, provider: InterpreterProvider
    ) -> None:
        """The first result says so, the second does not."""
        async with _closing(provider.session()) as first:
            gone = await first.start()
        async with _closing(provider.session(gone)) as session:
            first_result = await self.run(session, "print(1)")
            assert first_result.stdout.strip() == "1"
            assert first_result.state_lost or not session.stateful
            assert (await self.run(session, "print(1)")).state_lost is False
            assert session.id

    @pytest.mark.asyncio
    @pytest.mark.parametrize("code", BREAKS.values(), ids=BREAKS)
    async def test_code_that_breaks_its_interpreter_leaves_the_session_usable(
        self, provider: InterpreterProvider, code: str
    ) -> None:
        """A lost session is told by an InterpreterError or by the result."""
        async with _closing(provider.session()) as session:
            try:
                await session.run(code, timeout=self.timeout)
                await session.run("1", timeout=self.timeout)
            except InterpreterError:
                assert await self.lives(session)
            else:
                clean = "import builtins\nbuiltins.open"
                assert (await session.run(clean, timeout=self.timeout)).stopped is None


class InterpreterConformance(CodeConformance):
    """What a provider has to do, files and pictures included.

    Example:
        >>> import pytest
        >>> from langchain_assistants.interpreters.e2b import E2BInterpreter
        >>> class TestMine(InterpreterConformance):
        ...     @pytest.fixture(scope="class")
        ...     @classmethod
        ...     def provider(cls):
        ...         return E2BInterpreter()
    """

    @pytest.mark.asyncio
    async def test_stderr_is_apart_and_in_order(
        self, session: InterpreterSession
    ) -> None:
        """Each event names its stream."""
        code = (
            "import sys\nprint('out', flush=True)\n"
            "print('err', file=sys.stderr, flush=True)\nprint('end')"
        )
        result = await self.run(session, code)
        assert (result.stdout, result.stderr) == ("out\nend\n", "err\n")
        printed = [event for event in result.events if isinstance(event, Printed)]
        streams = [stream for stream, _ in groupby(printed, lambda one: one.stream)]
        assert streams == ["stdout", "stderr", "stdout"]

    @pytest.mark.asyncio
    async def test_the_value_of_the_last_expression_is_shown(
        self, session: InterpreterSession
    ) -> None:
        """None is not, and neither is that of a statement."""
        result = await self.run(session, "1\n[6 * 7]")
        assert result.displayed == [Displayed({"text/plain": "[42]"}, is_result=True)]
        assert (await self.run(session, "None")).displayed == []
        assert (await self.run(session, "shown = 1")).displayed == []

    @pytest.mark.asyncio
    async def test_a_picture_is_shown_as_bytes(
        self, session: InterpreterSession
    ) -> None:
        """By `display` and as the last value."""
        code = (
            f"class Picture:\n  def _repr_png_(self): return {PNG!r}\n"
            "display(Picture())\nPicture()"
        )
        result = await self.run(session, code)
        assert [value.forms["image/png"] for value in result.displayed] == [PNG, PNG]
        assert [value.is_result for value in result.displayed] == [False, True]

    @pytest.mark.asyncio
    async def test_an_exception_has_a_traceback(
        self, session: InterpreterSession
    ) -> None:
        """It names the line and leads through the code alone."""
        code = "def divide(n):\n    return 1 / n\n\ndivide(0)"
        result = await self.run(session, code)
        assert result.error is not None
        assert result.error.name == "ZeroDivisionError"
        assert result.error.message == "division by zero"
        assert "divide" in result.error.traceback
        assert "line 2" in result.error.traceback
        assert isinstance(result.events[-1], type(result.error))

    @pytest.mark.asyncio
    async def test_files_go_in_and_out(self, session: InterpreterSession) -> None:
        """Relative paths begin at `home`, where code runs; folders are made."""
        data = bytes(range(256)) * 4
        path = await session.upload("in/data.bin", data)
        assert path == f"{session.home}/in/data.bin"
        code = (
            "data = open('in/data.bin', 'rb').read()\n"
            "open('out.bin', 'wb').write(data[::-1])\nprint(len(data))"
        )
        assert await self.printed(session, code) == "1024"
        assert await session.download("out.bin") == data[::-1]
        assert await session.download(f"{session.home}/out.bin") == data[::-1]

    @pytest.mark.asyncio
    async def test_files_are_listed_without_hidden_ones(
        self, provider: InterpreterProvider
    ) -> None:
        """One that changed is not equal to what it was."""
        async with _closing(provider.session()) as session:
            assert await session.list_files() == []
            await session.upload("kept/a.txt", b"1")
            await session.upload(".hidden", b"")
            await session.upload("empty", b"")
            files = {file.path: file for file in await session.list_files()}
            assert {path: file.size for path, file in files.items()} == {
                f"{session.home}/kept/a.txt": 1,
                f"{session.home}/empty": 0,
            }
            await self.run(session, "open('empty', 'w').write('more')")
            again = {file.path: file for file in await session.list_files()}
            kept = f"{session.home}/kept/a.txt"
            assert again[kept] == files[kept]
            assert again[f"{session.home}/empty"].size == 4

    @pytest.mark.asyncio
    async def test_a_file_is_replaced_and_removed(
        self, session: InterpreterSession
    ) -> None:
        """Removing one that is gone is no error; reading it is one."""
        path = await session.upload("again.txt", b"first")
        assert await session.upload("again.txt", b"2") == path
        assert await session.download(path) == b"2"
        await session.remove(path)
        await session.remove("again.txt")
        with pytest.raises(InterpreterError):
            await session.download(path)
        with pytest.raises(InterpreterError):
            await session.download("never/was")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
    async def test_a_file_may_have_any_name(
        self, session: InterpreterSession, name: str
    ) -> None:
        """It is data, never part of a command; one that nobody can print is hidden."""
        path = await session.upload(name, b"1")
        assert path == f"{session.home}/{name}"
        listed = [file.path for file in await session.list_files()]
        assert path in listed or not name.isprintable()
        assert await session.download(name) == b"1"
        await session.remove(name)
        assert path not in [file.path for file in await session.list_files()]

    @pytest.mark.asyncio
    async def test_a_large_file_goes_in_and_out(
        self, session: InterpreterSession
    ) -> None:
        """Five megabytes, that is."""
        data = bytes(range(256)) * 20_000
        await session.upload("large.bin", data)
        assert await session.download("large.bin") == data
        await session.remove("large.bin")


@asynccontextmanager
async def _closing(session: InterpreterSession) -> AsyncIterator[InterpreterSession]:
    try:
        yield session
    finally:
        await session.close()
