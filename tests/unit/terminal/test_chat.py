"""The loop of `chat`, and the tools that its `--tools` imports."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.terminal.chat import Chat
from langchain_assistants.terminal.imported_tools import imported_tools
from langchain_assistants.testing import ScriptedChatModel, Step

MODULE = """
def double(number: int) -> int:
    return 2 * number

LIST = [double]
TUPLE = (double,)
NOTHING = None
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chat_tools.py").write_text(MODULE)
    (tmp_path / "broken_tools.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "chat_tools", raising=False)


@pytest.mark.parametrize("name", ["double", "LIST", "TUPLE"])
def test_a_function_and_a_list_of_them_are_found_in_the_working_directory(
    name: str,
) -> None:
    (double,) = imported_tools(f"chat_tools:{name}")
    assert double(21) == 42


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("chat_tools", "names no tools: write MODULE:NAME"),
        (":LIST", "names no tools: write MODULE:NAME"),
        ("nowhere:LIST", "importing nowhere raised ModuleNotFoundError"),
        ("broken_tools:LIST", "importing broken_tools raised ZeroDivisionError"),
        ("chat_tools:NOTHING", "has no function, tool or list named NOTHING"),
        ("chat_tools:MISSING", "has no function, tool or list named MISSING"),
    ],
)
def test_a_place_without_tools_is_said(place: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        imported_tools(place)


@pytest.fixture
def typing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Talk: the model's steps, then what a person types; returns what was shown."""

    def talk(steps: list[Step], *typed: str | BaseException) -> str:
        keys = iter(typed)

        def type_next(prompt: str = "") -> str:
            key = next(keys)
            if isinstance(key, BaseException):
                raise key
            return key

        monkeypatch.setattr("builtins.input", type_next)
        with (
            ScriptedChatModel(steps) as model,
            AssistantsEngine("sqlite:///:memory:", chat_model=model) as engine,
        ):
            assistant = AssistantRunnable.create_assistant(
                "chat", "", [], "scripted", engine=engine
            )
            Chat(engine, assistant, "chat").talk()
        assert next(keys, None) is None
        return capsys.readouterr().out

    return talk


def test_ctrl_c_at_the_prompt_only_says_how_to_leave(
    typing: Callable[..., str],
) -> None:
    shown = typing(["Hello."], KeyboardInterrupt(), "Hi", EOFError())
    assert shown == "\n\nCtrl-D leaves.\n\n\nHello.\n\n\n"


def test_ctrl_c_in_an_answer_comes_back_to_the_prompt(
    typing: Callable[..., str],
) -> None:
    def interrupts(*asked: object) -> Step:
        signal.raise_signal(signal.SIGINT)
        return "Too late."

    shown = typing([interrupts, "Hello."], "Think", "Hi", "/quit")
    assert "Stopped; the thread is free.\n" in shown
    assert shown.endswith("Hello.\n\n")


def test_a_run_that_fails_is_said_and_the_talk_goes_on(
    typing: Callable[..., str],
) -> None:
    shown = typing([ValueError("No \x1b[2J idea"), "Hello."], "Think", "Hi", "/exit")
    assert "error: Run run_" in shown
    assert "\x1b" not in shown
    assert shown.endswith("Hello.\n\n")
