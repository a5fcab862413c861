"""Which model a command talks to, and what to set when there is none."""

from __future__ import annotations

import os

from langchain_assistants.errors import ConfigurationError

DEFAULT_MODEL = "openai:gpt-4o"

_SUGGESTIONS = f"""\
export OPENAI_API_KEY=sk-...        then {DEFAULT_MODEL} answers (OPENAI_BASE_URL leads \
to another server)
--model anthropic:MODEL             with ANTHROPIC_API_KEY and pip install \
langchain-anthropic
--model ollama:MODEL                local, no key: pip install langchain-ollama
The package for OpenAI: pip install "langchain-assistants[openai]\""""


def default_model() -> str:
    """Return the model for which the environment holds a key.

    Raises:
        ConfigurationError: There is none; the message lists what can be set.
    """
    if os.environ.get("OPENAI_API_KEY"):
        return DEFAULT_MODEL
    raise ConfigurationError(
        f"No model to talk to: set OPENAI_API_KEY or pass --model.\n{_SUGGESTIONS}"
    )


def check_model(name: str) -> None:
    """Make sure that LangChain can make the model, before anything is stored.

    Raises:
        ConfigurationError: Its package is missing, its key, or nobody knows it; the
            message says what to install or to set.
    """
    from langchain.chat_models import init_chat_model

    try:
        init_chat_model(name)
    except ImportError as error:
        raise ConfigurationError(f"The model {name} is out of reach: {error}.") from error
    except ValueError as error:
        raise ConfigurationError(_explained(name, error)) from error
    # Each provider's package has an exception of its own for a missing key.
    except Exception as error:
        raise ConfigurationError(
            f"The model {name} is out of reach: {_first_line(error)}\n{_SUGGESTIONS}"
        ) from error


def _explained(name: str, error: ValueError) -> str:
    if "model_provider" in str(error):
        return (
            f"The model {name} has no provider: write provider:model, such as "
            f"{DEFAULT_MODEL}.\n{_SUGGESTIONS}"
        )
    return f"The model {name} is out of reach: {_first_line(error)}\n{_SUGGESTIONS}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
