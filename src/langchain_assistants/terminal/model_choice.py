"""Which model a command talks to, and what to set when it cannot be reached."""

from __future__ import annotations

import os

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.terminal.transcript import shortened

DEFAULT_MODEL = "openai:gpt-4o"

CHOICES = f"""\
  export OPENAI_API_KEY=...   for {DEFAULT_MODEL}, or --model openai:MODEL
                              pip install "langchain-assistants[openai]"
  --model anthropic:MODEL     with ANTHROPIC_API_KEY
                              pip install langchain-anthropic
  --model ollama:MODEL        local, without a key
                              pip install langchain-ollama"""


def default_model() -> str:
    """Return the model for which the environment holds a key.

    Raises:
        ConfigurationError: There is no key; the message lists the choices.
    """
    if os.environ.get("OPENAI_API_KEY"):
        return DEFAULT_MODEL
    raise ConfigurationError(
        f"No model to talk to: set OPENAI_API_KEY or pass --model.\n{CHOICES}"
    )


def check_model(name: str) -> None:
    """Make sure that LangChain can make the model, before anything is stored.

    Raises:
        ConfigurationError: Its package or its key is missing, or its provider is
            unknown; the message says which and lists the choices.
    """
    from langchain.chat_models import init_chat_model

    try:
        init_chat_model(name)
    # For a missing key each provider's package has an exception of its own.
    except Exception as error:
        why = shortened(str(error).partition("\n\n")[0] or type(error).__name__, 300)
        raise ConfigurationError(
            f"The model {name} cannot be used: {why}\n{CHOICES}"
        ) from error
