"""Finding an interpreter's provider by name, by object, and in other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters import choice
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.interpreters.e2b import E2BInterpreter, E2BSession


def offer(patch: pytest.MonkeyPatch, **values: str) -> None:
    """Let another package have entry points."""
    others = [EntryPoint(name, value, choice.GROUP) for name, value in values.items()]
    patch.setattr(choice, "entry_points", lambda group: others)


def test_none_is_none() -> None:
    assert find_provider(None) is None


def test_a_name_of_ours_is_loaded() -> None:
    assert isinstance(find_provider("e2b"), E2BInterpreter)


def test_a_provider_is_itself() -> None:
    provider = E2BInterpreter()
    assert find_provider(provider) is provider


def test_another_package_offers_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = "langchain_assistants.interpreters.e2b:E2BInterpreter"
    offer(monkeypatch, mine=ours, e2b="no_such_module:Thief")
    assert isinstance(find_provider("mine"), E2BInterpreter)
    assert isinstance(find_provider("e2b"), E2BInterpreter)


def test_an_unknown_name_names_those_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, mine="a:b")
    with pytest.raises(ConfigurationError, match="'e2b', 'local', 'mine'"):
        find_provider("docker")


def test_unsafe_local_is_never_chosen_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="i_understand_no_isolation=True"):
        find_provider("unsafe-local")


@pytest.mark.parametrize("value", ["no_such_module:Mine", "json:Mine"])
def test_one_that_cannot_be_loaded_says_from_where(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    offer(monkeypatch, mine=value)
    with pytest.raises(
        ConfigurationError, match=f"'mine' could not be loaded.*{value}"
    ):
        find_provider("mine")


def test_one_that_is_no_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, mine="builtins:dict")
    with pytest.raises(ConfigurationError, match="is no InterpreterProvider"):
        find_provider("mine")


@pytest.mark.parametrize("given", [E2BInterpreter, E2BSession(), 42])
def test_what_is_neither_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="or a provider such as"):
        find_provider(given)
