from __future__ import annotations

import subprocess
import sys
from typing import get_args

from pydantic import BaseModel

from langchain_assistants import types
from langchain_assistants.types import Deleted
from langchain_assistants.types.base import Opt, WireObject


class Sample(WireObject):
    id: str
    name: str | None = None
    detail: Opt[str] = None


def test_an_optional_field_is_absent_and_a_nullable_one_is_null() -> None:
    assert Sample(id="a").to_dict() == {"id": "a", "name": None}
    assert Sample(id="a").model_dump_json() == '{"id":"a","name":null}'


def test_an_optional_field_with_a_value_is_present() -> None:
    assert Sample(id="a", detail="low").to_dict()["detail"] == "low"


def test_an_unknown_field_travels() -> None:
    sample = Sample.model_validate({"id": "a", "of_tomorrow": None})
    assert sample.to_dict() == {"id": "a", "name": None, "of_tomorrow": None}


def test_a_deletion_has_the_wires_shape() -> None:
    deleted = Deleted(id="msg_a", object="thread.message.deleted")
    assert deleted.to_dict() == {
        "id": "msg_a",
        "object": "thread.message.deleted",
        "deleted": True,
    }


def test_public_names_exist() -> None:
    assert all(hasattr(types, name) for name in types.__all__)


def test_every_wire_object_of_a_public_module_is_exported() -> None:
    def subclasses(model: type[BaseModel]) -> set[str]:
        names = set()
        for child in model.__subclasses__():
            if child.__module__.startswith("langchain_assistants.types"):
                names |= {child.__name__} | subclasses(child)
        return names

    assert subclasses(WireObject) <= set(types.__all__)


def test_statuses_are_active_or_terminal() -> None:
    assert (
        set(get_args(types.RunStatus))
        == types.ACTIVE_STATUSES | types.TERMINAL_STATUSES
    )
    assert not types.ACTIVE_STATUSES & types.TERMINAL_STATUSES


def test_the_types_import_nothing_but_pydantic() -> None:
    script = (
        "import sys, langchain_assistants.types\n"
        "heavy = {'langchain', 'langchain_core', 'langgraph', 'sqlalchemy', 'openai',"
        " 'anyio', 'fastapi'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
