"""An embedding model with its name: makes vectors of texts; it stores none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langchain_assistants.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_assistants.retrieval.vectors import Floats

_AT_ONCE = 64
_NAME_FIELDS = ("model", "model_name", "model_id", "deployment")


class Embedder:
    """Makes the vectors of chunks and queries.

    Args:
        embeddings: LangChain's Embeddings, or a name for `init_embeddings` such as
            `openai:text-embedding-3-small`.

    Attributes:
        name: Of the model: vectors of another name are never compared with its own.

    Raises:
        ConfigurationError: No model can be made of the name, or numpy is missing.
    """

    def __init__(self, embeddings: str | Embeddings) -> None:
        """Find the model."""
        if find_spec("numpy") is None:
            raise ConfigurationError(
                "embeddings= needs numpy; install langchain-assistants[files]."
            )
        if isinstance(embeddings, str):
            self._model = _named(embeddings)
        elif isinstance(embeddings, Embeddings):
            self._model = embeddings
        else:
            raise ConfigurationError(
                f"embeddings={embeddings!r} is neither a LangChain Embeddings nor the "
                "name of one, such as 'openai:text-embedding-3-small'."
            )
        self.name = _name_of(self._model)

    async def query(self, text: str) -> Floats:
        """Return the vector of a query."""
        from langchain_assistants.retrieval.vectors import unit

        return unit(await self._model.aembed_query(text))

    async def texts(self, texts: Sequence[str]) -> list[bytes]:
        """Return the packed vectors of texts, which are embedded 64 at once."""
        from langchain_assistants.retrieval.vectors import pack

        packed: list[bytes] = []
        for batch in _batches(texts):
            packed += pack(await self._model.aembed_documents(list(batch)))
        return packed


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(texts), _AT_ONCE):
        yield texts[begin : begin + _AT_ONCE]


def _named(name: str) -> Embeddings:
    from langchain.embeddings import init_embeddings

    try:
        model = init_embeddings(name)
    except ImportError as error:
        raise ConfigurationError(
            f"The embeddings '{name}' need a package that is not installed: {error}"
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"Cannot make embeddings of '{name}' ({type(error).__name__}: {error}). "
            "Give the provider, as in 'openai:text-embedding-3-small', set its API "
            "key, or pass an Embeddings object."
        ) from error
    assert isinstance(model, Embeddings)
    return model


def _name_of(embeddings: Embeddings) -> str:
    kind = type(embeddings).__name__
    for field in _NAME_FIELDS:
        if isinstance(model := getattr(embeddings, field, None), str):
            return f"{kind}:{model}"
    return kind
