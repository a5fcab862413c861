"""A LangChain tool that executes Python in any interpreter session."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools.base import ArgsSchema
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SkipValidation

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    FileInfo,
    InterpreterProvider,
    InterpreterSession,
    OutputEvent,
    Printed,
)
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.interpreters.turns import Turns
from langchain_assistants.tools.artifacts import (
    Artifact,
    bare_name,
    mime_type,
    shortened,
)
from langchain_assistants.tools.blocking import blocking

Listener = Callable[[Any], object]
"""A callback, plain or async; an async one is awaited."""

_DESCRIPTION = (
    "Execute Python code in a sandbox{memory}. What is printed and the value of the "
    "last expression are returned; pictures (`plt.show()`) and files that the code "
    "writes reach the user. Send plain Python, not Markdown."
)
DESCRIPTION = _DESCRIPTION.format(
    memory=", as cells of one notebook: variables, imports and files stay between calls"
)
STATELESS_DESCRIPTION = _DESCRIPTION.format(
    memory=". Each call is a program of its own: variables and imports do not stay"
)

MAX_FILES = 20
MAX_FILE_BYTES = 20_000_000
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PICTURES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
}
_STATE_LOST = (
    "The sandbox was restarted: the variables of earlier calls are lost, and files "
    "that they wrote perhaps too. Import, load and compute again what you need."
)


class CodeInterpreterInput(BaseModel):
    """What the model gives."""

    python_code: str = Field(
        description="The Python code to execute, without Markdown.",
        examples=["print('Hello World')"],
    )


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that was put into the session, as the tool's description names it."""

    name: str
    remote_path: str
    description: str


class CodeInterpreterTool(BaseTool):
    """Execute the model's Python in a session of an interpreter.

    The content is JSON: `stdout`, `stderr`, `error` (a traceback, or why the code was
    stopped), `results` (shown values), `artifacts` (names), and `note` where the state
    was lost or something left out. The artifact of the message is a list of
    `Artifact`: pictures that the code showed and files that it wrote. A session that
    cannot be reached is a tool error that the model sees.

    Parallel calls share the session and take turns. Files that were uploaded are put
    into every new session again, so their content stays in memory.

    Attributes:
        session: Where the code is executed; it is the tool's own unless it was given.
        timeout: Seconds that one call may take.
        max_characters: Of stdout, stderr and results each, that the model sees.
        on_stdout: Called with each piece of text as it is printed.
        on_stderr: The same for stderr.
        on_artifact: Called with each `Artifact` of a call.

    Example:
        >>> tool = CodeInterpreterTool("e2b")  # or "local", or a provider
        >>> tool.name
        'code_interpreter'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    name: str = "code_interpreter"
    description: str = DESCRIPTION
    args_schema: ArgsSchema | None = CodeInterpreterInput
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: bool | str | Callable[[ToolException], str] | None = True
    session: SkipValidation[InterpreterSession] = Field(exclude=True)
    timeout: float = Field(default=120.0, gt=0)
    max_characters: int = Field(default=16_000, ge=100)
    on_stdout: Listener | None = Field(default=None, exclude=True)
    on_stderr: Listener | None = Field(default=None, exclude=True)
    on_artifact: Listener | None = Field(default=None, exclude=True)

    _own_provider: InterpreterProvider | None = PrivateAttr(default=None)
    _base_description: str = PrivateAttr()
    _uploads: dict[UploadedFile, bytes] = PrivateAttr(default_factory=dict)
    _seen: dict[str, FileInfo] = PrivateAttr(default_factory=dict)
    _seen_in: str | None = PrivateAttr(default=None)
    _looks: Turns = PrivateAttr(default_factory=Turns)
    _pictures: Iterator[int] = PrivateAttr(default_factory=lambda: itertools.count(1))

    def __init__(
        self,
        interpreter: str | InterpreterProvider | None = None,
        *,
        session: InterpreterSession | None = None,
        **fields: Any,
    ) -> None:
        """Start nothing yet.

        Args:
            interpreter: A name such as "local" or "e2b", or a provider; the tool has a
                session of its own there.
            session: A session to use in place of that.
            **fields: Fields of the tool, such as `timeout` and `on_artifact`.

        Raises:
            ConfigurationError: There is no such interpreter; or neither it nor a
                session was given, or both.
        """
        provider = find_provider(interpreter)
        if provider is not None and session is None:
            session = provider.session()
        elif provider is not None or session is None:
            raise ConfigurationError(
                "Give the tool an interpreter (such as 'local' or 'e2b') or a session."
            )
        if not session.stateful:
            fields.setdefault("description", STATELESS_DESCRIPTION)
        super().__init__(session=session, **fields)
        self._own_provider = provider if isinstance(interpreter, str) else None

    def model_post_init(self, context: Any, /) -> None:
        """Keep the description as it is without files."""
        super().model_post_init(context)
        self._base_description = self.description

    async def _arun(self, python_code: str) -> tuple[str, list[Artifact]]:
        try:
            await self._prepared()
            result = await self.session.run(
                python_code, timeout=self.timeout, on_event=self._tell
            )
        except InterpreterError as error:
            raise ToolException(json.dumps({"error": str(error)})) from error
        artifacts = list(self._shown(result.displayed))
        notes = await self._fetch(artifacts)
        for artifact in artifacts:
            await _call(self.on_artifact, artifact)
        return self._content(result, artifacts, notes), artifacts

    def _run(self, python_code: str) -> tuple[str, list[Artifact]]:
        return blocking(CodeInterpreterTool._arun)(self, python_code)

    async def aupload_file(
        self, file: IO[Any] | Path, description: str = "", *, name: str | None = None
    ) -> UploadedFile:
        """Put a file into the session and tell the model about it.

        Do so before an agent reads the tool's description. A file of the same name is
        replaced.

        Args:
            file: An open file, binary or text, or a path.
            description: What the model is told of it.
            name: Its name in the session; None: the file's own.

        Raises:
            ValueError: The file has no name.
            InterpreterError: The session could not take it.
        """
        own = str(file) if isinstance(file, Path) else getattr(file, "name", None)
        name = name or own
        if not isinstance(name, str):  # a temporary file's is a number
            raise ValueError("The file has no name; pass name=.")
        data = await asyncio.to_thread(
            file.read_bytes if isinstance(file, Path) else file.read
        )
        content = data.encode() if isinstance(data, str) else bytes(data)
        await self._prepared()
        path = await self.session.upload(bare_name(name), content)
        uploaded = UploadedFile(bare_name(name), path, description)
        self._forget(path)
        self._uploads[uploaded] = content
        self._describe()
        await self._overlook(path)
        return uploaded

    async def aremove_uploaded_file(self, uploaded_file: UploadedFile) -> None:
        """Delete an uploaded file, and its mention in the description."""
        self._forget(uploaded_file.remote_path)
        self._describe()
        await self.session.remove(uploaded_file.remote_path)

    async def adownload_file(self, remote_path: str) -> bytes:
        """Read a file of the session.

        Raises:
            InterpreterError: There is no such file.
        """
        return await self.session.download(remote_path)

    async def ainstall_python_packages(self, package_names: str | list[str]) -> None:
        """Install packages with pip inside the session, which needs the internet.

        Raises:
            ValueError: A name begins with `-`: it would be an option.
            InterpreterError: pip failed; the text ends with what it said.
        """
        names = (
            package_names.split() if isinstance(package_names, str) else package_names
        )
        if options := [name for name in names if name.startswith("-")]:
            raise ValueError(f"Not the name of a package: {options[0]!r}")
        pip = ["-m", "pip", "install", "--disable-pip-version-check", *names]
        done = await self._executed(f"[__import__('sys').executable, *{pip!r}]")
        if done["exit_code"] != 0:
            raise InterpreterError(
                f"pip ended with {done['exit_code']} in session {self.session.id}; a "
                "session without internet access cannot install packages. It said: "
                + done["stderr"][-500:]
            )

    async def arun_command(self, cmd: str) -> dict[str, Any]:
        """Run a shell command in the session.

        Returns:
            `stdout`, `stderr` and `exit_code`.
        """
        return await self._executed(f"['sh', '-c', {cmd!r}]")

    async def aclose(self) -> None:
        """End the session with all that is in it, and forget the uploaded files."""
        self._uploads.clear()
        self._describe()
        await self.session.close()
        if self._own_provider is not None:
            await self._own_provider.aclose()

    upload_file = blocking(aupload_file)
    remove_uploaded_file = blocking(aremove_uploaded_file)
    download_file = blocking(adownload_file)
    install_python_packages = blocking(ainstall_python_packages)
    run_command = blocking(arun_command)
    close = blocking(aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def uploaded_files(self) -> list[UploadedFile]:
        """The files that were uploaded and not removed."""
        return list(self._uploads)

    @property
    def uploaded_files_description(self) -> str:
        """What the tool's description says about the uploaded files."""
        if not self._uploads:
            return ""
        lines = ["The following files are available in the sandbox:"]
        for file in self._uploads:
            about = f": {file.description}" if file.description else ""
            lines.append(f"- `{file.remote_path}`{about}")
        return "\n".join(lines)

    def _describe(self) -> None:
        parts = [self._base_description, self.uploaded_files_description]
        self.description = "\n".join(filter(None, parts))

    def _forget(self, remote_path: str) -> None:
        for file in [file for file in self._uploads if file.remote_path == remote_path]:
            del self._uploads[file]

    async def _prepared(self) -> None:
        """Start the session; give a new one the uploaded files."""
        id = await self.session.start()
        if id == self._seen_in:
            return
        for file, data in list(self._uploads.items()):
            await self.session.upload(file.remote_path, data)
        await self._changes()
        self._seen_in = id

    async def _changes(self) -> list[FileInfo]:
        """List the files that are new or changed since the last look: each one once."""
        async with self._looks.turn():
            files = await self.session.list_files()
            changed = [file for file in files if self._seen.get(file.path) != file]
            self._seen = {file.path: file for file in files}
            return changed

    async def _overlook(self, path: str) -> None:
        """Take a file as seen: it is the user's own."""
        async with self._looks.turn():
            files = await self.session.list_files()
            self._seen |= {file.path: file for file in files if file.path == path}

    async def _fetch(self, artifacts: list[Artifact]) -> list[str]:
        """Add the files that the code made; return what the model has to know."""
        skipped = []
        try:
            for file in await self._changes() if self.session.id is not None else ():
                name = bare_name(file.path)
                if file.size > MAX_FILE_BYTES or len(artifacts) >= MAX_FILES:
                    skipped.append(name)
                    continue
                data = await self.session.download(file.path)
                artifacts.append(Artifact(name, mime_type(name), data, file.path))
        except InterpreterError as error:
            return [f"Not every file could be fetched: {error}"]
        names = ", ".join(skipped[:MAX_FILES])
        return [f"Too large or too many to hand over: {names}."] if skipped else []

    def _shown(self, displayed: Sequence[Displayed]) -> Iterator[Artifact]:
        for value in displayed:
            mime = next((mime for mime in _PICTURES if mime in value.forms), None)
            if mime is not None:
                data = value.forms[mime]
                content = data.encode() if isinstance(data, str) else data
                name = f"picture-{next(self._pictures)}.{_PICTURES[mime]}"
                yield Artifact(name, mime, content)

    async def _tell(self, event: OutputEvent) -> None:
        if isinstance(event, Printed):
            listener = self.on_stdout if event.stream == "stdout" else self.on_stderr
            await _call(listener, event.text)

    def _content(
        self, result: ExecutionResult, artifacts: list[Artifact], notes: list[str]
    ) -> str:
        """Write down for the model what came of its code."""
        error = result.ending(self.timeout)
        if error is None and (raised := result.error) is not None:
            error = raised.traceback or f"{raised.name}: {raised.message}"
        if result.truncated:
            notes = ["Some output was left out.", *notes]
        if result.state_lost:
            notes = [_STATE_LOST, *notes]
        answer: dict[str, Any] = {
            "stdout": self._shortened(result.stdout),
            "stderr": self._shortened(result.stderr),
            "error": self._shortened(error) if error else None,
            "results": self._results(result.displayed),
            "artifacts": [artifact.name for artifact in artifacts],
        }
        if notes:
            answer["note"] = " ".join(notes)
        return json.dumps(answer, ensure_ascii=False)

    def _results(self, displayed: Sequence[Displayed]) -> list[str]:
        """Return the shown values as text, as many as fit."""
        texts, left = [], self.max_characters
        for value in displayed:
            text = value.text
            if text is not None and left > 0:
                texts.append(shortened(text, left))
                left -= len(text)
        return texts

    def _shortened(self, text: str) -> str:
        return shortened(_ANSI.sub("", text), self.max_characters)

    async def _executed(self, arguments: str) -> dict[str, Any]:
        """Run a program in the session, whatever the session can do besides Python."""
        await self._prepared()
        code = (
            "print(__import__('json').dumps((lambda done: {'stdout': done.stdout, "
            "'stderr': done.stderr, 'exit_code': done.returncode})("
            f"__import__('subprocess').run({arguments}, capture_output=True, "
            "text=True, errors='replace'))))"
        )
        result = await self.session.run(code, timeout=self.timeout)
        await self._changes()
        try:
            done: dict[str, Any] = json.loads(result.stdout)
        except ValueError:
            why = result.stopped or (result.error and result.error.name) or "no answer"
            raise InterpreterError(
                f"The command did not end in session {self.session.id}: {why}."
            ) from None
        return done


async def _call(listener: Listener | None, value: Any) -> None:
    if listener is not None:
        answer = listener(value)
        if inspect.isawaitable(answer):
            await answer
