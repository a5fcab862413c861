"""What every code interpreter can do; it runs nothing itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

_READABLE = ("text/plain", "text/markdown", "application/json", "text/html")

StopReason = Literal["timeout", "interrupt", "output_limit"]

_ENDINGS: dict[StopReason, str] = {
    "timeout": "The code was stopped after {timeout:g} seconds. Do less at once.",
    "interrupt": "The code was interrupted.",
    "output_limit": "The code was stopped because it put out too much. Print less.",
}


@dataclass(frozen=True, slots=True)
class Printed:
    """A piece of text that the code wrote."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True)
class Displayed:
    """A value that the code showed, in every form the interpreter has of it.

    Attributes:
        forms: By MIME type; `text/plain` is the repr, pictures are bytes.
        is_result: The value of the last expression, not that of a `display` call.
    """

    forms: Mapping[str, str | bytes]
    is_result: bool = False

    @property
    def text(self) -> str | None:
        """The first of its forms that a model can read; None without one."""
        form = next(
            (self.forms[mime] for mime in _READABLE if mime in self.forms), None
        )
        return form if isinstance(form, str) else None


@dataclass(frozen=True, slots=True)
class Raised:
    """The exception that ended the code."""

    name: str
    message: str
    traceback: str = ""


OutputEvent = Printed | Displayed | Raised
OnEvent = Callable[[OutputEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a session; two that are equal have the same content.

    Attributes:
        path: Absolute, in the session.
        size: In bytes.
        modified: Unix seconds.
    """

    path: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of one execution.

    Attributes:
        events: What it put out, in order.
        stopped: Why it was ended from outside, if it was.
        state_lost: Variables of earlier executions were lost before this one, or
            those of this one with it.
        truncated: There was more output than a session keeps.
    """

    events: tuple[OutputEvent, ...] = ()
    stopped: StopReason | None = None
    state_lost: bool = False
    truncated: bool = False

    @property
    def stdout(self) -> str:
        """Everything printed to stdout."""
        return self._printed("stdout")

    @property
    def stderr(self) -> str:
        """Everything printed to stderr."""
        return self._printed("stderr")

    @property
    def displayed(self) -> list[Displayed]:
        """The values that were shown."""
        return [event for event in self.events if isinstance(event, Displayed)]

    @property
    def error(self) -> Raised | None:
        """The exception that ended the code."""
        return next((event for event in self.events if isinstance(event, Raised)), None)

    def ending(self, timeout: float) -> str | None:
        """Tell a model why its code was stopped; None: it ended by itself.

        Args:
            timeout: The seconds that the code was given.
        """
        if self.stopped is None:
            return None
        return _ENDINGS[self.stopped].format(timeout=timeout)

    def _printed(self, stream: str) -> str:
        return "".join(
            event.text
            for event in self.events
            if isinstance(event, Printed) and event.stream == stream
        )


class InterpreterSession(Protocol):
    """A Python interpreter somewhere else, with its variables and its files.

    It starts when it is first used. When it is lost, the call in hand raises an
    InterpreterError, and the next one starts an empty session under another id.
    Methods may be called from several event loops at once; executions take turns.
    """

    @property
    def id(self) -> str | None:
        """The id to reconnect with; None before the start."""
        ...

    @property
    def home(self) -> str:
        """The folder in which code runs, and that relative paths start from."""
        ...

    @property
    def stateful(self) -> bool:
        """Whether variables stay from one execution to the next."""
        ...

    async def start(self) -> str:
        """Start unless it is running, and return the id.

        Raises:
            InterpreterError: It could not be started or reached.
        """
        ...

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        """Execute code after what waits already, for at most `timeout` seconds.

        `on_event` is awaited with each event as it happens. Cancelling the call
        interrupts the code.

        Raises:
            InterpreterError: The session was lost or could not be started.
        """
        ...

    async def interrupt(self) -> None:
        """Stop the code that is executing, if any; its result says so."""
        ...

    async def upload(self, path: str, data: bytes) -> str:
        """Write a file and return its absolute path."""
        ...

    async def download(self, path: str) -> bytes:
        """Read a file.

        Raises:
            InterpreterError: There is no such file.
        """
        ...

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        ...

    async def list_files(self) -> list[FileInfo]:
        """List the files below `home`, without hidden ones."""
        ...

    async def release(self) -> None:
        """Let go of the session: it ends, or rests where its provider can wake it."""
        ...

    async def close(self) -> None:
        """End the session and everything in it; closing twice is no error."""
        ...


@runtime_checkable
class InterpreterProvider(Protocol):
    """A place that has interpreter sessions; making a session starts nothing.

    `langchain_assistants.testing.InterpreterConformance` tests one. A package offers
    its own under a name as an entry point of `langchain_assistants.interpreters`.
    """

    @property
    def name(self) -> str:
        """The name that it is chosen and shown by."""
        ...

    def session(self, session_id: str | None = None) -> InterpreterSession:
        """Return a new session, or one to go on with.

        Where the one of that id is gone, it is an empty session, whose first result
        says `state_lost`.
        """
        ...

    def check(self) -> list[str]:
        """Say in words what keeps it from working; nothing when it works."""
        ...

    async def aclose(self) -> None:
        """End everything that it still holds; closing twice is no error."""
        ...
