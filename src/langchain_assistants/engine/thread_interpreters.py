"""Interpreter sessions of threads: each with the files that belong in it.

A session is started when it is first needed, and closed when nobody needs it any more.
What is known of it is stored, so that another process can go on with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_assistants.engine.file_contents import NamedContent
from langchain_assistants.engine.files import store_output
from langchain_assistants.engine.interpreter_rows import (
    StoredSession,
    missing_threads,
    put_session,
    stored_session,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import InterpreterError, StorageError
from langchain_assistants.interpreters.base import (
    ExecutionResult,
    FileInfo,
    InterpreterProvider,
    InterpreterSession,
    OnEvent,
)
from langchain_assistants.interpreters.turns import Turns
from langchain_assistants.storage.database import Row
from langchain_assistants.tools.artifacts import bare_name, mime_type

logger = logging.getLogger(__name__)

MOST_FILES = 20
"""Files that one execution hands over."""
MOST_BYTES = 100_000_000
"""Bytes of a file that is handed over."""

_TIDY_SECONDS = 60.0


class Made(NamedTuple):
    """A file that code has written: where, and what it has become."""

    path: str
    file_id: str
    mime_type: str


class Executed(NamedTuple):
    """What came of an execution.

    Attributes:
        result: What the code put out.
        made: The files that it wrote.
        left_out: Names of files that were too large or too many.
        state_lost: Whether variables of earlier executions are gone.
        seconds: How long it took.
    """

    result: ExecutionResult
    made: list[Made]
    left_out: list[str]
    state_lost: bool
    seconds: float


@dataclass(slots=True)
class ThreadInterpreter:
    """The interpreter session of one thread.

    Attributes:
        session: Of whatever provider.
        files: By path, the id of the file that it is a copy of or has become.
        known_id: The session's id when it was last seen.
        started: When it was begun, on the engine's clock.
        used: When it was last used.
        uses: How many executions wait or run.
    """

    place: Workplace
    provider: str
    thread_id: str
    tenant: str
    session: InterpreterSession
    files: dict[str, str]
    known_id: str | None
    started: float
    used: float
    uses: int = 0
    _seen: dict[str, FileInfo] = field(default_factory=dict)
    _seen_in: str | None = None
    _turns: Turns = field(default_factory=Turns)

    async def execute(
        self,
        code: str,
        wanted: Mapping[str, str],
        *,
        timeout: float,
        on_event: OnEvent,
    ) -> Executed:
        """Execute code with these files in place, after what waits already.

        Args:
            code: Python.
            wanted: Names by id of the files that have to be there.
            timeout: Seconds that it may take.
            on_event: Hears what it puts out.

        Raises:
            InterpreterError: The session was lost or could not be started.
        """
        self.uses += 1
        try:
            async with self._turns.turn():
                before = dict(self.files), self.known_id
                lost = await self._prepare(wanted)
                begun = asyncio.get_running_loop().time()
                result = await self.session.run(
                    code, timeout=timeout, on_event=on_event
                )
                seconds = asyncio.get_running_loop().time() - begun
                made, left_out = await self._collect()
                if before != (self.files, self.known_id):
                    await self._remember()
                lost = lost or result.state_lost
                return Executed(result, made, left_out, lost, seconds)
        finally:
            self.uses -= 1
            self.used = self.place.clock()

    async def _prepare(self, wanted: Mapping[str, str]) -> bool:
        """Put the files in place; tell whether an earlier session was lost."""
        session_id = await self.session.start()
        known, self.known_id = self.known_id, session_id
        is_new = session_id != known
        if is_new:
            for path, file_id in list(self.files.items()):
                if not await self._upload(path, file_id):
                    del self.files[path]
        missing = [i for i in wanted if i not in self.files.values()]
        for file_id in missing:
            path = self._free_path(wanted[file_id])
            if await self._upload(path, file_id):
                self.files[path] = file_id
        if is_new or missing or self._seen_in != session_id:
            self._seen = {f.path: f for f in await self.session.list_files()}
            self._seen_in = session_id
        return is_new and known is not None

    async def _upload(self, path: str, file_id: str) -> bool:
        try:
            data = await self.place.blobs.read(file_id)
        except StorageError:  # deleted meanwhile
            return False
        await self.session.upload(path, data)
        return True

    def _free_path(self, filename: str) -> str:
        name = bare_name(filename)
        stem, dot, extension = name.rpartition(".")
        path, number = f"{self.session.home}/{name}", 2
        while path in self.files:
            other = f"{stem}-{number}.{extension}" if dot else f"{name}-{number}"
            path, number = f"{self.session.home}/{other}", number + 1
        return path

    async def _collect(self) -> tuple[list[Made], list[str]]:
        """Store the files that are new or changed; name those that are not stored."""
        made: list[Made] = []
        left_out: list[str] = []
        listed = await self.session.list_files()
        for info in listed:
            if self._seen.get(info.path) == info:
                continue
            name = bare_name(info.path)
            if info.size > MOST_BYTES or len(made) >= MOST_FILES:
                left_out.append(name)
                continue
            try:
                data = await self.session.download(info.path)
            except InterpreterError:  # it may vanish while the session lists it
                left_out.append(name)
                continue
            kind = mime_type(name)
            content = NamedContent(name, data, kind)
            file = await store_output(self.place, self.tenant, content)
            self.files[info.path] = file.id
            made.append(Made(info.path, file.id, kind))
        self._seen = {info.path: info for info in listed}
        return made, left_out

    async def _remember(self) -> None:
        assert self.known_id is not None
        stored = StoredSession(self.provider, self.known_id, self.files)
        await self.place.database.write(put_session(self.thread_id, stored))


class ThreadInterpreters:
    """The live sessions of one engine, each of one thread.

    Args:
        place: Database, blobs, clock and settings.
        provider: Has the sessions.
    """

    def __init__(self, place: Workplace, provider: InterpreterProvider) -> None:
        """Start nothing."""
        self._place = place
        self._provider = provider
        # The one used last is the last.
        self._live: dict[str, ThreadInterpreter] = {}
        self._tidying = False

    async def of(self, run: Row) -> ThreadInterpreter:
        """Return the interpreter of a run's thread; it may not have been started."""
        thread_id = run["thread_id"]
        await self._close_those(lambda t: self._is_over(t) and t.thread_id == thread_id)
        found = self._live.pop(thread_id, None)
        if found is None:
            stored = await self._place.database.read(stored_session(thread_id))
            found = self._live.pop(thread_id, None) or self._new(run, stored)
        self._live[thread_id] = found
        found.used = self._place.clock()
        if not self._tidying:
            self._tidying = True
            self._place.portal.start(self._tidy)
        await self._make_room()
        return found

    async def files_of(self, run: Row) -> Mapping[str, str]:
        """Return ids of the files in the thread's session by path, started or not."""
        if (live := self._live.get(run["thread_id"])) is not None:
            return live.files
        stored = await self._place.database.read(stored_session(run["thread_id"]))
        return {} if stored is None else stored.files

    async def aclose(self) -> None:
        """End every session, and the provider."""
        self._live.clear()
        await self._provider.aclose()

    def _new(self, run: Row, stored: StoredSession | None) -> ThreadInterpreter:
        name, now = self._provider.name, self._place.clock()
        known_id = stored.session_id if stored and stored.provider == name else None
        return ThreadInterpreter(
            place=self._place,
            provider=name,
            thread_id=run["thread_id"],
            tenant=run["tenant"],
            session=self._provider.session(known_id),
            files=dict(stored.files) if stored else {},
            known_id=stored.session_id if stored else None,
            started=now,
            used=now,
        )

    def _is_over(self, interpreter: ThreadInterpreter) -> bool:
        now, settings = self._place.clock(), self._place.settings
        return interpreter.uses == 0 and (
            now - interpreter.used > settings.interpreter_idle
            or now - interpreter.started > settings.interpreter_lifetime
        )

    async def _make_room(self) -> None:
        surplus = len(self._live) - self._place.settings.max_interpreters
        idle = [t.thread_id for t in self._live.values() if t.uses == 0][:-1]
        oldest = set(idle[: max(surplus, 0)])
        await self._close_those(lambda t: t.thread_id in oldest)

    async def _close_those(
        self, chosen: Callable[[ThreadInterpreter], bool], *, for_good: bool = False
    ) -> None:
        for interpreter in [t for t in self._live.values() if chosen(t)]:
            self._live.pop(interpreter.thread_id, None)
            session = interpreter.session
            try:
                await (session.close() if for_good else session.release())
            except InterpreterError as error:
                logger.warning(
                    "interpreter_not_closed",
                    extra={
                        "thread_id": interpreter.thread_id,
                        "error": type(error).__name__,
                    },
                )

    async def _tidy(self) -> None:
        """Close, from time to time, what nobody has used for long."""
        while True:
            idle = self._place.settings.interpreter_idle
            await asyncio.sleep(min(_TIDY_SECONDS, idle))
            await self.close_idle()

    async def close_idle(self) -> None:
        """Close the sessions that are over, and those of threads that are no more."""
        gone = await self._place.database.read(missing_threads(list(self._live)))
        await self._close_those(lambda t: t.thread_id in gone, for_good=True)
        await self._close_those(self._is_over)
