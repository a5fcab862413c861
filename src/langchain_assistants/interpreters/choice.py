"""Finding the provider that somebody named or gave; it is loaded when it is chosen."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.base import InterpreterProvider

GROUP = "langchain_assistants.interpreters"
"""The entry points of other packages: a class or function without arguments."""

_OURS = {
    name: EntryPoint(name, f"{GROUP}.{home}", GROUP)
    for name, home in {
        "e2b": "e2b:E2BInterpreter",
        "local": "local:LocalInterpreter",
    }.items()
}
_UNSAFE = "unsafe-local"


def find_provider(
    given: str | InterpreterProvider | None,
) -> InterpreterProvider | None:
    """Return the provider of a name, or the one that was given itself.

    Raises:
        ConfigurationError: There is none of this name, or it cannot be loaded.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, InterpreterProvider) and not isinstance(given, type):
        return given
    raise ConfigurationError(
        f"An interpreter is a name ({_names()}) or a provider such as "
        f"E2BInterpreter(), not {type(given).__name__}."
    )


def _named(name: str) -> InterpreterProvider:
    if name == _UNSAFE:
        raise ConfigurationError(
            "'unsafe-local' runs a model's code without any isolation, so a name does "
            "not choose it. Pass the object: langchain_assistants.interpreters."
            "unsafe_local.UnsafeLocalInterpreter(i_understand_no_isolation=True)."
        )
    entry = _known().get(name)
    if entry is None:
        raise ConfigurationError(
            f"There is no interpreter {name!r}; there are {_names()}."
        )
    try:
        provider = entry.load()()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The interpreter {name!r} could not be loaded from {entry.value}: {error}."
        ) from error
    if not isinstance(provider, InterpreterProvider):
        raise ConfigurationError(
            f"The interpreter {name!r} of {entry.value} is no InterpreterProvider."
        )
    return provider


def _known() -> dict[str, EntryPoint]:
    """Return what can be named; another package cannot take our names."""
    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    return others | _OURS


def _names() -> str:
    return ", ".join(repr(name) for name in sorted(_known()))
