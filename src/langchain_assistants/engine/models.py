"""Chat models: from the name an assistant has to a LangChain model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.language_models.chat_models import BaseChatModel

from langchain_assistants.engine.offloading import Offloading
from langchain_assistants.errors import ConfigurationError

logger = logging.getLogger(__name__)

ChatModelFactory: TypeAlias = Callable[..., BaseChatModel]
"""`factory(name, **params)`; params are those of temperature, top_p, reasoning_effort
that the assistant or the run asks for."""

_MOST_MODELS = 64
_OUTPUT_LIMITS = ("max_tokens", "max_output_tokens")
_NO_MODEL = (
    "chat_model={!r} is neither a LangChain chat model nor a function of a model's "
    "name. A name belongs to the assistant; model_map= puts another in its place."
)


class Models:
    """Finds the model for a name, and remembers it.

    Args:
        chat_model: One model for every name, or a factory; None: `init_chat_model`.
        model_map: Other names to use, such as `{"gpt-4o": "anthropic:claude-..."}`.
        offloading: Where synchronous models are executed.
    """

    def __init__(
        self,
        chat_model: BaseChatModel | ChatModelFactory | None,
        model_map: Mapping[str, str],
        offloading: Offloading,
    ) -> None:
        """Keep the source of models; none is made yet.

        Raises:
            ConfigurationError: `chat_model` is neither a model nor a function.
        """
        is_model = chat_model is None or isinstance(chat_model, BaseChatModel)
        if not is_model and not callable(chat_model):
            raise ConfigurationError(_NO_MODEL.format(chat_model))
        self._source = chat_model
        self._map = model_map
        self._offloading = offloading
        self._known: dict[Any, BaseChatModel] = {}

    def resolve(self, name: str, params: Mapping[str, Any]) -> BaseChatModel:
        """Return the model for a name with these sampling parameters.

        Raises:
            ConfigurationError: No model can be made of the name: an unknown provider,
                a package that is not installed, a key that is not set.
        """
        if isinstance(self._source, BaseChatModel):
            return self._remembered(id(self._source), self._given)
        key = name, tuple(sorted(params.items()))
        return self._remembered(key, lambda: self._made(name, params))

    def call_settings(
        self, model: BaseChatModel, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the sampling parameters to pass with each call.

        A model that was made for the parameters has them already. One that was given
        gets those it declares a field for; the rest is logged and ignored.
        """
        if not isinstance(self._source, BaseChatModel):
            return {}
        fields = type(model).model_fields
        ignored = sorted(name for name in params if name not in fields)
        if ignored:
            logger.warning(
                "model_parameters_ignored",
                extra={"model": type(model).__name__, "parameters": ignored},
            )
        return {name: value for name, value in params.items() if name in fields}

    def _remembered(self, key: Any, make: Callable[[], BaseChatModel]) -> BaseChatModel:
        model = self._known.get(key)
        if model is None:
            # Names and parameters come with requests: keep the newest only.
            while len(self._known) >= _MOST_MODELS:
                self._known.pop(next(iter(self._known)), None)
            model = self._known[key] = self._offloading.model(_with_usage(make()))
        return model

    def _given(self) -> BaseChatModel:
        assert isinstance(self._source, BaseChatModel)
        return self._source

    def _made(self, name: str, params: Mapping[str, Any]) -> BaseChatModel:
        name = self._map.get(name, name)
        if self._source is not None and not isinstance(self._source, BaseChatModel):
            model = self._source(name, **params)
            if isinstance(model, BaseChatModel):
                return model
            raise ConfigurationError(
                f"chat_model returned {type(model).__name__} for '{name}'; it must "
                "return a LangChain chat model."
            )
        from langchain.chat_models import init_chat_model

        try:
            # Retries have one place: the run's own (Settings.model_retries).
            made: BaseChatModel = init_chat_model(name, max_retries=0, **params)
        except ImportError as error:
            raise ConfigurationError(
                f"The model '{name}' needs a package that is not installed: "
                f"{_line(error)}"
            ) from error
        except Exception as error:
            raise ConfigurationError(
                f"Cannot make a chat model of '{name}' ({type(error).__name__}: "
                f"{_line(error)}). Give its provider, as in 'openai:gpt-4o', set the "
                "provider's API key, or pass chat_model= or model_map= to the engine "
                "(--model-map to serve)."
            ) from error
        return made


def can_call_tools(model: BaseChatModel) -> bool:
    """Tell whether tools may be bound to a model."""
    profile = model.profile or {}
    return (
        type(model).bind_tools is not BaseChatModel.bind_tools
        and profile.get("tool_calling") is not False
        and getattr(model, "supports_tools", True)
    )


def output_limit(model: BaseChatModel, tokens: int) -> dict[str, int]:
    """Return the call setting that keeps an answer within a number of tokens."""
    fields = type(model).model_fields
    return {name: tokens for name in _OUTPUT_LIMITS if name in fields}


def input_limit(model: BaseChatModel) -> int | None:
    """Return the model's context window in tokens, where LangChain knows it."""
    limit = (model.profile or {}).get("max_input_tokens")
    return limit if isinstance(limit, int) else None


def is_openai(model: BaseChatModel) -> bool:
    """Tell whether a model takes OpenAI's `response_format` as a call setting."""
    return any(base.__name__ == "BaseChatOpenAI" for base in type(model).__mro__)


def fallbacks(
    models: Sequence[str | BaseChatModel], resolve: Callable[[str], BaseChatModel]
) -> list[BaseChatModel]:
    """Return the models to try when the first one fails, in order."""
    return [resolve(model) if isinstance(model, str) else model for model in models]


def _line(error: Exception) -> str:
    """Return an error's first paragraph: some go on with lists of everything."""
    return str(error).partition("\n\n")[0]


def _with_usage(model: BaseChatModel) -> BaseChatModel:
    """Make an OpenAI-like model report usage while it streams.

    langchain-openai leaves it out when another base URL is set; budgets need it.
    """
    if (
        "stream_usage" in type(model).model_fields
        and "stream_usage" not in model.model_fields_set
    ):
        return model.model_copy(update={"stream_usage": True})
    return model
