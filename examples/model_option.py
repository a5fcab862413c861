"""The `--model` option of the examples: a scripted model unless another is named."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import ScriptedChatModel

Opened = tuple[AssistantsEngine, str, bool]


def open_engine(
    description: str,
    script: Sequence[Any] | Callable[..., Any],
    url: str = "sqlite:///:memory:",
    interpreter: str | None = None,
) -> Opened:
    """Open an engine with the model that the command line names.

    Args:
        description: What `--help` says of the program.
        script: Steps of the scripted model, or a function that answers.
        url: The database; by default it is in memory.
        interpreter: Where the hosted code interpreter executes code.

    Returns:
        The engine, the model's name, and whether the model is the scripted one.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a real model, such as openai:gpt-4o")
    name = parser.parse_args().model
    if name:
        return AssistantsEngine(url, interpreter=interpreter), name, False
    print("scripted model: no LLM is called\n")
    model = (
        ScriptedChatModel(respond=script)
        if callable(script)
        else ScriptedChatModel(list(script))
    )
    engine = AssistantsEngine(url, chat_model=model, interpreter=interpreter)
    return engine, "scripted", True
