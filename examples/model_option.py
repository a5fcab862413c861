"""The options that the examples share.

`--model`: a scripted one unless another is named. `--interpreter`, of those that let a
model execute code: a jail on this machine unless another is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from langchain_assistants import AssistantsEngine
from langchain_assistants.interpreters.base import InterpreterProvider
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.testing import ScriptedChatModel

Opened = tuple[AssistantsEngine, str, bool]


def open_engine(
    description: str,
    script: Sequence[Any] | Callable[..., Any],
    url: str = "sqlite:///:memory:",
    *,
    runs_code: bool = False,
) -> Opened:
    """Open an engine with the model that the command line names.

    Args:
        description: What `--help` says of the program.
        script: Steps of the scripted model, or a function that answers.
        url: The database; by default it is in memory.
        runs_code: Whether the hosted code interpreter is needed.

    Returns:
        The engine, the model's name, and whether the model is the scripted one.

    Raises:
        SystemExit: Code cannot be executed here; it says why, and what to do.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a real model, such as openai:gpt-4o")
    if runs_code:
        named = "where code runs: local (a jail on this machine; Linux), e2b"
        parser.add_argument("--interpreter", default="local", help=named)
    options = parser.parse_args()
    interpreter = working(options.interpreter) if runs_code else None
    if options.model:
        return AssistantsEngine(url, interpreter=interpreter), options.model, False
    print("scripted model: no LLM is called\n")
    model = (
        ScriptedChatModel(respond=script)
        if callable(script)
        else ScriptedChatModel(list(script))
    )
    engine = AssistantsEngine(url, chat_model=model, interpreter=interpreter)
    return engine, "scripted", True


def working(name: str) -> InterpreterProvider | None:
    """Return the interpreter of a name, or leave the program: it does not work here."""
    interpreter = find_provider(name)
    if interpreter is not None and (problems := interpreter.check()):
        sys.exit("\n".join(problems))
    return interpreter
