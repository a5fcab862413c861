"""Fields, schemas and options of an assistant in a chain; what its copies share."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of, place_of

from langchain_assistants import AssistantRunnable, OpenAIAssistantRunnable, notes
from langchain_assistants.errors import ActiveRunError, ConfigurationError, RunFailed
from langchain_assistants.testing import ScriptedChatModel

pytestmark = pytest.mark.embedded_only("options are bound above the backend")

FORM = ConfigurableField(id="form")


# Configurable fields: LangChain makes a new runnable for each call.


async def test_a_field_is_configured_for_one_call(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["4."] * 2)
    chain = assistant.configurable_fields(as_message=FORM)
    (stored,) = await ask(chain, "2 + 2?")
    assert stored.text == "4."
    message = await ask(chain, "2 + 2?", {"configurable": {"form": True}})
    assert isinstance(message, AIMessage)


async def test_the_assistant_itself_is_configured(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    tutor = make_assistant(["4."], as_message=True)
    clerk = AssistantRunnable.create_assistant(
        "Clerk", "You sell.", [], "scripted", **place_of(tutor)
    )
    chain = tutor.configurable_fields(assistant_id=ConfigurableField(id="who"))
    asked = chain.with_config(configurable={"who": clerk.assistant_id})
    answer = await ask(asked | StrOutputParser(), "2 + 2?")
    assert answer == "4."
    (thread,) = engine_of(tutor).threads.list()
    (run,) = engine_of(tutor).runs.list(thread.id)
    assert run.assistant_id == clerk.assistant_id


async def test_a_configured_contradiction_is_refused(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([], as_agent=True).configurable_fields(as_message=FORM)
    with pytest.raises(ConfigurationError, match="two kinds of output"):
        await ask(agent, "Hi", {"configurable": {"form": True}})


async def test_a_configured_agent_frees_the_thread_that_its_loop_left(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([calls((add, 1, 2)), "Hello."], [add])
    agent = assistant.configurable_fields(as_agent=FORM).with_config(
        configurable={"form": True}
    )
    (left,) = await ask(agent, "1 + 2?")
    given = {"content": "Hi", "thread_id": left.thread_id}
    finish = await ask(agent, given)
    assert finish.return_values["output"] == "Hello."
    assert engine_of(assistant).runs.retrieve(left.run_id).status == "cancelled"


async def test_a_configured_assistants_retry_reuses_the_stored_message(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([ValueError("no"), "Hello."])
    stubborn = (
        assistant.configurable_fields(as_message=FORM)
        .with_config(configurable={"form": True})
        .with_retry(retry_if_exception_type=(RunFailed,), wait_exponential_jitter=False)
    )
    answer = await ask(stubborn, "Hi")
    (thread,) = engine_of(assistant).threads.list()
    assert thread.id == answer.response_metadata["thread_id"]
    stored = engine_of(assistant).messages.list(thread.id)
    assert [m.text for m in stored] == ["Hello.", "Hi"]


async def test_a_configured_assistant_makes_its_tools_once(
    make_assistant: MakeAssistant, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [calls((add, 1, 2)), "3."]
    assistant = make_assistant(steps * 2, [add], run_tools=True)
    box = type(assistant.backend.tool_box)
    made: list[Any] = []
    make = box.implementations

    def note(self: Any, tools: Any) -> Any:
        made.append(make(self, tools))
        return made[-1]

    monkeypatch.setattr(box, "implementations", note)
    chain = assistant.configurable_fields(as_message=FORM)
    for _ in range(2):
        answer = await ask(chain, "1 + 2?", {"configurable": {"form": True}})
        assert answer.text == "3."
    assert len(made) == 1


async def test_a_copy_with_other_tools_executes_those(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2)), "3.", calls((multiply, 3, 4)), "12."]
    assistant = make_assistant(steps, [add, multiply], run_tools=[add])
    assert (await ask(assistant, "1 + 2?"))[0].text == "3."
    other = assistant.model_copy(update={"run_tools": [multiply]})
    assert (await ask(other, "3 * 4?"))[0].text == "12."


async def test_alternatives_are_chosen_by_the_configuration(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    tutor = make_assistant(["4."], as_message=True)
    clerk = make_assistant(["Hello."], as_message=True)
    chain = (
        tutor.configurable_alternatives(
            ConfigurableField(id="who"), default_key="tutor", clerk=clerk
        )
        | StrOutputParser()
    )
    assert await ask(chain, "2 + 2?") == "4."
    assert await ask(chain, "Hi", {"configurable": {"who": "clerk"}}) == "Hello."


async def test_only_the_newest_notes_are_kept(
    make_assistant: MakeAssistant, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "_MOST", 2)
    steps = [calls((add, 1, 2))] * 3
    agent = make_assistant([*steps, "Hello."], [add], as_agent=True)
    left = [(await ask(agent, "1 + 2?"))[0] for _ in steps]
    kept = {action.thread_id: action.run_id for action in left[1:]}
    assert agent.notes.left_runs == kept
    with pytest.raises(ActiveRunError):
        await ask(agent, {"content": "Hi", "thread_id": left[0].thread_id})
    finish = await ask(agent, {"content": "Hi", "thread_id": left[2].thread_id})
    assert finish.return_values["output"] == "Hello."


# Schemas, names and drawings.


def test_the_output_schema_is_that_of_the_kind_of_output(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant([])
    agent = assistant.model_copy(update={"as_agent": True})
    chat = assistant.model_copy(update={"as_message": True})
    kinds = [
        (assistant, {"Message", "RequiredToolCall"}),
        (agent, {"AssistantAction", "AssistantFinish"}),
    ]
    for runnable, expected in kinds:
        schema = runnable.get_output_jsonschema()
        named = {
            option.get("$ref", option.get("items", {}).get("$ref")).rpartition("/")[2]
            for option in schema["anyOf"]
        }
        assert named == expected
    assert chat.get_output_jsonschema()["title"] == "AIMessage"
    assert chat.get_output_schema() is AIMessage


def test_the_input_schema_is_typed(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant([])
    schema = assistant.get_input_jsonschema()
    keys = schema["$defs"]["AssistantInput"]["properties"]
    assert keys["thread_id"]["type"] == "string"
    assert keys["temperature"]["type"] == "number"
    model = assistant.get_input_schema()
    for given in ("Hi", {"content": "Hi"}, [HumanMessage("Hi")]):
        assert model.model_validate(given)
    with pytest.raises(ValueError, match="validation error"):
        model.model_validate(7)


def test_a_chain_with_an_assistant_is_drawn(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant([], as_message=True)
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | assistant | StrOutputParser()
    drawn = chain.get_graph().draw_mermaid()
    for name in ("PromptInput", "AssistantRunnable", "StrOutputParser"):
        assert name in drawn
    assert chain.get_input_jsonschema()["required"] == ["question"]
    assert chain.get_output_jsonschema()["type"] == "string"


def test_a_runnable_that_is_pickled_says_what_to_hand_over(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant([])
    with pytest.raises(TypeError, match=f"hand over '{assistant.assistant_id}'"):
        pickle.dumps(assistant)


def test_a_name_is_that_of_the_runnable(make_assistant: MakeAssistant) -> None:
    made = make_assistant([])
    named = AssistantRunnable(
        assistant_id=made.assistant_id, **place_of(made), name="tutor"
    )
    assert (made.get_name(), named.get_name()) == ("AssistantRunnable", "tutor")


# The options of create_assistant.


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("run_tool", "run_tools"),
        ("as_agents", "as_agent"),
        ("as_mesage", "as_message"),
        ("extra_key", "extra_keys"),
        ("descripton", "description"),
        ("response_formats", "response_format"),
    ],
)
def test_a_mistyped_option_names_the_nearest_one(
    make_assistant: MakeAssistant, option: str, near: str
) -> None:
    with pytest.raises(TypeError, match=f"'{option}'; did you mean '{near}'"):
        make_assistant([], **{option: True})


@pytest.mark.parametrize("option", ["assistant_id", "answer_type", "notes", "zzz"])
def test_an_option_of_no_new_assistant_is_refused(
    make_assistant: MakeAssistant, option: str
) -> None:
    with pytest.raises(TypeError, match=f"Unknown argument '{option}'"):
        make_assistant([], **{option: None})


def test_the_drop_ins_own_options_are_known(make_assistant: MakeAssistant) -> None:
    with pytest.raises(TypeError, match="did you mean 'check_every_ms'"):
        make_assistant([], cls=OpenAIAssistantRunnable, check_every=1.0)


async def test_every_option_is_bound(make_assistant: MakeAssistant, ask: Ask) -> None:
    made = make_assistant(
        ScriptedChatModel(["4."]), as_message=True, on_active_run="queue"
    )
    assert (made.as_message, made.on_active_run) == (True, "queue")
    assert (await ask(made, "2 + 2?")).text == "4."
