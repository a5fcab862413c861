"""What becomes of errors of models and providers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, ended, heard_text

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.provider_errors import (
    is_transient,
    last_error,
    retry_after,
    status_of,
)
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types.runs import Run


class ProviderError(Exception):
    """An error as the SDKs of providers raise it."""

    def __init__(
        self,
        status: int,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        message: str = "The provider says no.",
    ) -> None:
        super().__init__(f"Error code: {status}")
        self.status_code = status
        self.code = code
        self.body = {"message": message}
        self.response = httpx.Response(status, headers=headers)


class APIConnectionError(Exception):
    """An error that is told by its name only."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for between attempts, without waiting."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, *args: Any) -> None:
        if seconds > 0.05:  # a scripted model polls its signals faster
            waited.append(seconds)
            seconds = 0
        await sleep(seconds, *args)

    monkeypatch.setattr(
        "langchain_assistants.engine.attempts.asyncio.sleep", note, raising=True
    )
    return waited


def error_of(run: Run) -> tuple[str, str]:
    """The code and text of a failed run's error."""
    assert run.status == "failed"
    assert run.last_error is not None
    return run.last_error.code, run.last_error.message


# What to try again.


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ProviderError(429), True),
        (ProviderError(429, code="insufficient_quota"), False),
        (ProviderError(500), True),
        (ProviderError(503), True),
        (ProviderError(529), True),
        (ProviderError(408), True),
        (ProviderError(409), True),
        (ProviderError(400), False),
        (ProviderError(401), False),
        (ProviderError(404), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (APIConnectionError(), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("cut"), True),
        (ValueError("bug"), False),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_tried_again(error: Exception, again: bool) -> None:
    assert is_transient(error) is again


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(ProviderError(429, headers=headers)) == seconds


def test_an_error_without_a_response_asks_for_no_wait() -> None:
    assert retry_after(ValueError("bug")) is None
    assert status_of(ValueError("bug")) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderError(429), "rate_limit_exceeded"),
        (ProviderError(429, code="insufficient_quota"), "rate_limit_exceeded"),
        (ProviderError(400, code="content_policy_violation"), "invalid_prompt"),
        (ProviderError(400, code="content_filter"), "invalid_prompt"),
        (ProviderError(400, code="invalid_image_url"), "invalid_prompt"),
        (ProviderError(400, code="bad_model"), "server_error"),
        (ProviderError(400), "server_error"),
        (ProviderError(500), "server_error"),
        (ValueError("bug"), "server_error"),
    ],
    ids=repr,
)
def test_each_error_has_its_code(error: Exception, code: str) -> None:
    assert last_error(error)["code"] == code


def test_the_providers_own_text_is_told() -> None:
    assert last_error(ProviderError(500))["message"] == "The provider says no."
    assert last_error(ValueError("bug"))["message"] == "ValueError: bug"
    assert last_error(ConfigurationError("Set it."))["message"] == "Set it."


# Retries of a run.


def test_a_transient_error_is_tried_again_with_growing_pauses(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    steps = [ProviderError(500), ConnectionError(), ProviderError(503), "Here."]
    with ScriptedChatModel(steps) as model:
        talk = Dialogue(
            engine_factory(model, settings=Settings(model_retries=3, retry_delay=1))
        )
        run = talk.ask("Hi")
    assert run.status == "completed"
    assert talk.texts == ["Hi", "Here."]
    assert len(pauses) == 3
    assert pauses[0] < pauses[1] < pauses[2]


def test_retry_after_is_honoured(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    busy = ProviderError(429, headers={"retry-after": "11"})
    with ScriptedChatModel([busy, "Here."]) as model:
        assert Dialogue(engine_factory(model)).ask("Hi").status == "completed"
    assert pauses == [11.0]


def test_a_retry_after_beyond_the_longest_wait_fails_at_once(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    busy = ProviderError(429, headers={"retry-after": "3600"})
    with ScriptedChatModel([busy]) as model:
        run = Dialogue(engine_factory(model)).ask("Hi")
    assert error_of(run) == ("rate_limit_exceeded", "The provider says no.")
    assert pauses == []


def test_the_last_error_is_told_when_retries_are_used_up(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    steps = [ProviderError(500), ProviderError(429, message="Slow down.")]
    with ScriptedChatModel(steps) as model:
        engine = engine_factory(model, settings=Settings(model_retries=1))
        talk = Dialogue(engine)
        run = talk.ask("Hi")
        assert error_of(run) == ("rate_limit_exceeded", "Slow down.")
        assert len(pauses) == 1
    assert talk.texts == ["Hi"]


def test_retries_may_be_turned_off(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    with ScriptedChatModel([ProviderError(500)]) as model:
        engine = engine_factory(model, settings=Settings(model_retries=0))
        assert error_of(Dialogue(engine).ask("Hi"))[0] == "server_error"
    assert pauses == []


def test_an_answer_that_was_begun_is_not_begun_again(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    broken = Reply("Half of", error=ProviderError(500))
    with ScriptedChatModel([broken]) as model:
        talk = Dialogue(engine_factory(model))
        events = talk.hear("Hi")
    assert error_of(ended(events))[0] == "server_error"
    assert pauses == []
    message = talk.messages[-1]
    assert message.text == heard_text(events) == "Half of"
    assert message.status == "incomplete"
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == "run_failed"


def test_a_stream_that_breaks_before_its_first_token_is_tried_again(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    with ScriptedChatModel([Reply("", error=ProviderError(500)), "Here."]) as model:
        talk = Dialogue(engine_factory(model))
        events = talk.hear("Hi")
    assert heard_text(events) == talk.texts[-1] == "Here."
    assert len(pauses) == 1


def test_fallbacks_answer_after_the_retries_of_each_model(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    first = ScriptedChatModel([ProviderError(500), ProviderError(500)])
    second = ScriptedChatModel([ProviderError(503), "Here."])
    with first, second:
        engine = engine_factory(
            first, model_fallbacks=[second], settings=Settings(model_retries=1)
        )
        talk = Dialogue(engine)
        assert talk.ask("Hi").status == "completed"
    assert talk.texts[-1] == "Here."
    assert len(pauses) == 2


def test_fallbacks_help_against_errors_that_do_not_pass(
    engine_factory: EngineFactory, pauses: list[float]
) -> None:
    quota = ProviderError(429, code="insufficient_quota")
    with ScriptedChatModel([quota]) as first, ScriptedChatModel(["Here."]) as second:
        talk = Dialogue(engine_factory(first, model_fallbacks=[second]))
        assert talk.ask("Hi").status == "completed"
    assert pauses == []


# Models that cannot be had.


def failing(engine: AssistantsEngine, **assistant: Any) -> str:
    """Run, and return the error's text."""
    code, message = error_of(Dialogue(engine, **assistant).ask("Hi"))
    assert code == "server_error"
    return message


def test_an_unknown_provider_says_how_to_name_one(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([], chat_model=None)
    message = failing(engine, model="nobody:model-1")
    assert "nobody:model-1" in message
    assert "model_map=" in message


def test_a_name_without_a_provider_says_how_to_give_one(
    engine_factory: EngineFactory,
) -> None:
    message = failing(engine_factory([], chat_model=None), model="some-model")
    assert "'openai:gpt-4o'" in message
    assert "\n" not in message  # LangChain goes on with a list of all providers


def test_a_missing_package_is_named(engine_factory: EngineFactory) -> None:
    engine = engine_factory([], chat_model=None, model_map={"m": "mistralai:small"})
    assert "langchain-mistralai" in failing(engine, model="m")


def test_a_missing_key_is_named(engine_factory: EngineFactory) -> None:
    engine = engine_factory([], chat_model=None)
    assert "OPENAI_API_KEY" in failing(engine, model="openai:gpt-4o")


@pytest.mark.parametrize("returned", [None, "gpt-4o", object()])
def test_a_factory_that_returns_no_model_is_told_so(
    engine_factory: EngineFactory, returned: Any
) -> None:
    engine = engine_factory([], chat_model=lambda name, **params: returned)
    message = failing(engine, model="m")
    assert f"chat_model returned {type(returned).__name__} for 'm'" in message


def test_the_name_of_a_model_is_no_chat_model(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="chat_model='openai:gpt-4o' is neit"):
        engine_factory([], chat_model="openai:gpt-4o")


def test_a_factory_that_raises_fails_the_run(engine_factory: EngineFactory) -> None:
    def make(name: str, **params: Any) -> BaseChatModel:
        raise KeyError(name)

    assert failing(engine_factory([], chat_model=make), model="m") == "KeyError: 'm'"


def test_a_factory_gets_the_name_and_the_parameters_asked_for(
    engine_factory: EngineFactory,
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    model = ScriptedChatModel(respond=lambda messages, call: "ok")

    def make(name: str, **params: Any) -> BaseChatModel:
        asked.append((name, params))
        return model

    engine = engine_factory([], chat_model=make, model_map={"gpt-4o": "mine"})
    talk = Dialogue(engine, model="gpt-4o", temperature=0.5)
    talk.ask("Hi")
    talk.ask("Hi", reasoning_effort="low", top_p=0.1)
    talk.ask("Hi")  # remembered
    assert asked == [
        ("mine", {"temperature": 0.5}),
        ("mine", {"temperature": 0.5, "top_p": 0.1, "reasoning_effort": "low"}),
    ]


def test_a_run_may_name_another_model(engine_factory: EngineFactory) -> None:
    made: list[str] = []
    model = ScriptedChatModel(["1", "2"])

    def make(name: str, **params: Any) -> BaseChatModel:
        made.append(name)
        return model

    talk = Dialogue(engine_factory([], chat_model=make), model="small")
    assert talk.ask("Hi").model == "small"
    assert talk.ask("Hi", model="large").model == "large"
    assert made == ["small", "large"]


def test_a_model_that_cannot_call_tools_is_told_clearly(
    engine_factory: EngineFactory,
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    with ScriptedChatModel(["Hi."], supports_tools=False) as model:
        talk = Dialogue(engine_factory(model), functions=[add], model="mute")
        code, message = error_of(talk.ask("Hi"))
        assert code == "server_error"
        assert "'mute'" in message
        assert "cannot call tools" in message
        assert talk.ask("Hi", tool_choice="none").status == "completed"


def test_a_profile_may_say_that_a_model_cannot_call_tools(
    engine_factory: EngineFactory,
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    model = ScriptedChatModel([], profile={"tool_calling": False})
    run = Dialogue(engine_factory(model), functions=[add]).ask("Hi")
    assert "cannot call tools" in error_of(run)[1]


class SyncModel(BaseChatModel):
    """A model with nothing but `_generate`."""

    answer: Callable[[list[BaseMessage]], str]

    @property
    def _llm_type(self) -> str:
        return "sync"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        generation = ChatGeneration(message=AIMessage(self.answer(messages)))
        return ChatResult(generations=[generation])


def test_a_model_with_only_generate_answers_off_the_loop(
    engine_factory: EngineFactory,
) -> None:
    def answer(messages: list[BaseMessage]) -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return f"heard {messages[-1].text}"

    talk = Dialogue(engine_factory(SyncModel(answer=answer)))
    assert talk.ask("one").status == "completed"
    events = talk.hear("two")
    assert heard_text(events) == "heard two"
    assert talk.texts == ["one", "heard one", "two", "heard two"]


def test_a_sync_model_without_bind_tools_cannot_call_tools(
    engine_factory: EngineFactory,
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    engine = engine_factory(SyncModel(answer=lambda messages: ""))
    run = Dialogue(engine, functions=[add]).ask("Hi")
    assert "cannot call tools" in error_of(run)[1]


def test_a_parameter_that_a_given_model_lacks_is_ignored_and_logged(
    engine_factory: EngineFactory, caplog: pytest.LogCaptureFixture
) -> None:
    talk = Dialogue(engine_factory(SyncModel(answer=lambda messages: "ok")))
    with caplog.at_level("WARNING"):
        run = talk.ask("Hi", temperature=0.5, max_completion_tokens=300)
    assert run.status == "completed"
    assert "model_parameters_ignored" in caplog.messages
