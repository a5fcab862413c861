"""Reads the pairs of `--model-map`."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_assistants.errors import ConfigurationError


def model_map(given: Sequence[str]) -> dict[str, str]:
    """Return the other name of each model, from `name=other` pairs.

    Raises:
        ConfigurationError: One is no pair.
    """
    pairs = {}
    for text in given:
        name, equals, other = text.partition("=")
        if not (name and equals and other):
            raise ConfigurationError(
                f"--model-map {text} is no pair: write NAME=OTHER, such as "
                "gpt-4o=anthropic:claude-sonnet-4-5."
            )
        pairs[name] = other
    return pairs
