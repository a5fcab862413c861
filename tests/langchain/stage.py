"""A stage for an assistant's input, from which all that an input does is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add
from tests.langchain.places import Bind
from tests.stored import seed_files

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import ScriptedChatModel
from langchain_assistants.testing.script import ModelCall
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.threads import Thread


@dataclass
class Stage:
    """An assistant whose model is made for each run, so that one sees for what."""

    factory: EngineFactory
    bind: Bind
    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = ScriptedChatModel(respond=lambda messages, asked: "4.")
        self.engine = self.factory(chat_model=self._make)
        seed_files(self.engine, "file-1")
        self.assistant = AssistantRunnable.create_assistant(
            "Tutor", "You teach arithmetic.", [add], "gpt-4o", **self.bind(self.engine)
        )

    def _make(self, name: str, **params: Any) -> ScriptedChatModel:
        self.made.append((name, params))
        fields = {k: v for k, v in params.items() if k != "reasoning_effort"}
        return self.model.model_copy(update=fields)

    def existing_thread(self) -> str:
        return self.engine.threads.create(
            messages=[
                {"role": "user", "content": "What is 1 + 1?"},
                {"role": "assistant", "content": "2."},
            ]
        ).id

    def seen(self, answer: list[Message]) -> Seen:
        engine, last = self.engine, answer[-1]
        assert last.run_id is not None
        users = [m for m in engine.messages.list(last.thread_id) if m.role == "user"]
        return Seen(
            users,
            engine.threads.retrieve(last.thread_id),
            engine.runs.retrieve(last.run_id),
            self.model.calls[-1],
            self.made[-1],
        )


@dataclass
class Seen:
    """What an invocation left behind."""

    users: list[Message]
    thread: Thread
    run: Run
    call: ModelCall
    made: tuple[str, dict[str, Any]]

    @property
    def message(self) -> Message:
        return self.users[0]

    @property
    def system(self) -> str:
        return self.call.messages[0].text
