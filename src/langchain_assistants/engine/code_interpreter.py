"""The hosted code interpreter: Python of the model, in its thread's session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_assistants.engine.call_types import CODE, printed
from langchain_assistants.engine.exhibits import Exhibits
from langchain_assistants.engine.file_contents import NamedContent
from langchain_assistants.engine.files import store_output
from langchain_assistants.engine.hosted import HostedCall, HostedResult
from langchain_assistants.engine.interpreter_rows import files_for
from langchain_assistants.engine.thread_interpreters import (
    Executed,
    ThreadInterpreter,
    ThreadInterpreters,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.interpreters.base import (
    Displayed,
    OutputEvent,
    Printed,
    Raised,
)
from langchain_assistants.storage.database import Row, storable
from langchain_assistants.tools.artifacts import shortened

_SCHEMA: dict[str, Any] = {
    "name": "code_interpreter",
    "description": (
        "Executes Python in a sandbox without internet, as cells of one notebook: "
        "variables and files stay between calls. Returns what is printed and the "
        "value of the last expression. Files of the user are in /mnt/data; write "
        "files for the user there, and link them in your answer as "
        "[name](sandbox:/mnt/data/name). Plots are shown to the user by themselves."
    ),
    "parameters": {
        "type": "object",
        "properties": {
            CODE: {"type": "string", "description": "Python, without Markdown."}
        },
        "required": [CODE],
    },
}
_PICTURES = {"image/png": "png", "image/jpeg": "jpg"}
_STATE_LOST = (
    "The sandbox was started anew before this: variables of earlier calls are lost "
    "(state_lost), the files are there again."
)
_STATELESS = (
    "This sandbox keeps files only: the next call begins without these variables."
)
_MODEL_CHARACTERS = 16_000


class CodeInterpreter:
    """The code interpreter of one engine.

    Args:
        place: Where files are stored.
        interpreters: The sessions, by thread.
    """

    schema: Mapping[str, Any] = _SCHEMA

    def __init__(self, place: Workplace, interpreters: ThreadInterpreters) -> None:
        """Start nothing."""
        self._place = place
        self._interpreters = interpreters

    async def open(
        self, run: Row, entry: Mapping[str, Any], exhibits: Exhibits
    ) -> _OpenedInterpreter:
        """Return the code interpreter for a run; its session starts when needed."""
        now = self._place.clock()
        wanted = await self._place.database.read(files_for(run, now))
        exhibits.link(await self._interpreters.files_of(run))
        return _OpenedInterpreter(self._place, self._interpreters, run, wanted)


class _OpenedInterpreter:
    """The code interpreter as one run uses it."""

    def __init__(
        self,
        place: Workplace,
        interpreters: ThreadInterpreters,
        run: Row,
        wanted: Mapping[str, str],
    ) -> None:
        self._place = place
        self._interpreters = interpreters
        self._run = run
        self._wanted = wanted

    @property
    def note(self) -> str | None:
        """The files that the model can work on."""
        if not self._wanted:
            return None
        names = [f"- {name} ({file_id})" for file_id, name in self._wanted.items()]
        return "\n".join(["Files in /mnt/data of the code interpreter:", *names])

    async def execute(self, call: HostedCall) -> HostedResult:
        """Execute the code of a call.

        Raises:
            TypeError: The code is no text.
            InterpreterError: The session was lost or could not be started.
        """
        code = call.arguments.get(CODE)
        if not isinstance(code, str):
            raise TypeError(f"'{CODE}' has to be a text.")
        interpreter: ThreadInterpreter = await self._interpreters.of(self._run)
        shown = _Outputs(self._place, self._run["tenant"], call)
        timeout = self._place.settings.interpreter_timeout
        executed = await interpreter.execute(
            storable(code), self._wanted, timeout=timeout, on_event=shown.add
        )
        if (ending := executed.result.ending(timeout)) is not None:
            shown.say(ending + "\n")
        if not any(output["type"] == "image" for output in shown.outputs):
            for made in executed.made:
                if made.mime_type in _PICTURES:
                    shown.show(made.file_id)
        outcome: dict[str, Any] = {
            "outputs": shown.outputs,
            "seconds": round(executed.seconds, 3),
        }
        if executed.made:
            outcome["files"] = [
                {"path": made.path, "file_id": made.file_id} for made in executed.made
            ]
        content = _content(executed, shown.outputs)
        if not interpreter.session.stateful:
            content = f"{content}\n{_STATELESS}"
        return HostedResult(content, outcome)


class _Outputs:
    """Collects the outputs of a call, and tells each as it comes."""

    def __init__(self, place: Workplace, tenant: str, call: HostedCall) -> None:
        self.outputs: list[dict[str, Any]] = []
        self._place = place
        self._tenant = tenant
        self._tell = call.tell

    async def add(self, event: OutputEvent) -> None:
        """Take what the code has put out."""
        match event:
            case Printed(_, text):
                self.say(text)
            case Raised(name, message, traceback):
                self.say(traceback or f"{name}: {message}\n")
            case Displayed(forms):
                kind = next((kind for kind in _PICTURES if kind in forms), None)
                if kind is not None:
                    await self._show_picture(kind, forms[kind])
                    return
                if event.text is not None:
                    self.say(event.text + "\n")

    def say(self, text: str) -> None:
        """Append to the logs."""
        text = storable(text)
        if not self.outputs or self.outputs[-1]["type"] != "logs":
            self.outputs.append({"type": "logs", "logs": ""})
        self.outputs[-1]["logs"] += text
        self._tell_last({"type": "logs", "logs": text})

    def show(self, file_id: str) -> None:
        """Append a picture that is stored already."""
        picture = {"type": "image", "image": {"file_id": file_id}}
        self.outputs.append(picture)
        self._tell_last(picture)

    async def _show_picture(self, kind: str, data: str | bytes) -> None:
        number = sum(output["type"] == "image" for output in self.outputs) + 1
        content = NamedContent(
            f"picture-{number}.{_PICTURES[kind]}",
            data.encode() if isinstance(data, str) else data,
            kind,
        )
        file = await store_output(self._place, self._tenant, content)
        self.show(file.id)

    def _tell_last(self, piece: Mapping[str, Any]) -> None:
        self._tell({"outputs": [{"index": len(self.outputs) - 1, **piece}]})


def _content(executed: Executed, outputs: list[dict[str, Any]]) -> str:
    """Return what the model sees."""
    parts = [_STATE_LOST] if executed.state_lost else []
    parts.append(shortened(printed(outputs), _MODEL_CHARACTERS) or "(no output)")
    if executed.result.truncated:
        parts.append("Some output was left out.")
    if executed.made:
        names = ", ".join(made.path for made in executed.made)
        parts.append(f"Files written for the user: {names}")
    if executed.left_out:
        names = ", ".join(executed.left_out[:20])
        parts.append(f"Too large or too many to hand over: {names}")
    return "\n".join(parts)
