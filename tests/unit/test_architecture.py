"""The shape of the source: who may import whom, names, sizes, a light import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import langchain_assistants

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "langchain_assistants"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each top-level module or package may import of the others. Lower layers
# first; whoever adds one decides here where it stands.
BASE = {"errors", "settings", "types"}
ENGINE = BASE | {"engine"}
MAY_IMPORT: dict[str, set[str]] = {
    "types": {"errors"},
    "errors": {"types"},
    "settings": {"errors", "types"},
    "storage": BASE,
    "interpreters": BASE,
    "retrieval": BASE | {"storage"},
    "tools": BASE | {"interpreters", "retrieval"},
    "engine": BASE | {"storage", "interpreters", "retrieval", "tools"},
    "testing": ENGINE | {"interpreters", "storage"},
    "actions": BASE,
    "structured_output": BASE,
    "run_input": BASE | {"structured_output"},
    "notes": ENGINE,
    "creation": ENGINE | {"run_input", "structured_output"},
    "assistant": ENGINE
    | {"actions", "creation", "notes", "outer_graph", "run_input", "structured_output"},
    "compat": ENGINE | {"actions", "assistant", "run_input"},
    "notebook": BASE,
    "outer_graph": BASE,
    "graph": ENGINE | {"actions", "assistant", "outer_graph", "run_input", "storage"},
    "importers": ENGINE,
    "scale": ENGINE | {"storage"},
    "server": ENGINE | {"__init__"},
    "in_process": ENGINE | {"server"},
    "cli": ENGINE
    | {"__init__", "assistant", "graph", "importers", "scale", "server", "storage"}
    | {"terminal"},
    "terminal": ENGINE | {"__init__", "interpreters", "server", "testing"},
    "__init__": ENGINE | {"assistant", "compat", "graph"},
}
# engine.openai() loads the client lazily: the one import that goes upwards.
EXCEPTIONS = {("engine/engine.py", "in_process")}

# Packages that belong to some layers only.
ONLY_IN = {
    "alembic": {"storage"},
    "e2b": {"interpreters"},
    "e2b_code_interpreter": {"interpreters"},
    "fastapi": {"in_process", "server"},
    "openai": {"assistant", "compat", "in_process", "server"},
    "procrastinate": {"scale"},
    "prometheus_client": {"server"},
    "psycopg": {"retrieval", "scale", "storage"},
    "starlette": {"in_process", "server"},
    "sqlalchemy": {"engine", "retrieval", "scale", "storage"},
    "sqlite3": {"retrieval", "storage", "terminal"},  # the demo reads its own file
    "uvicorn": {"server"},
}

# Modules of more than 500 lines, each with its reason.
LONG_MODULES: dict[str, str] = {}

# What runs in the jail: the host imports it, but it finds the stdlib only.
JAILED = PACKAGE / "interpreters" / "local" / "inside"

VAGUE_NAMES = {"common", "core", "helpers", "manager", "utils"}
HEAVY_IMPORTS = {"e2b", "fastapi", "langgraph", "openai", "sqlalchemy"}


def layer(module: Path) -> str:
    """Name the top-level module or package of ours that a file is part of."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


LAYERS = {layer(module) for module in MODULES}


def imports(module: Path) -> Iterator[str]:
    """Yield what a file imports, lazily and for types too, as dotted names."""
    package = ["langchain_assistants", *module.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{name.name}" for name in node.names)


def own_imports(module: Path) -> Iterator[str]:
    """Yield the other layers of ours that a file imports from."""
    for name in imports(module):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top == "langchain_assistants" and target != layer(module):
            # `from langchain_assistants import Settings` goes through __init__.
            yield target if target in LAYERS else "__init__"


def test_every_layer_imports_only_what_lies_below_it() -> None:
    upward = [
        f"{path} imports {target}"
        for module in MODULES
        for path in [module.relative_to(PACKAGE).as_posix()]
        for target in own_imports(module)
        if target not in MAY_IMPORT.get(layer(module), set())
        and (path, target) not in EXCEPTIONS
    ]
    assert upward == []


def test_every_layer_has_its_place() -> None:
    assert set(MAY_IMPORT) >= LAYERS


def test_a_third_party_package_stays_in_its_layers() -> None:
    strays = [
        f"{module.relative_to(PACKAGE).as_posix()} imports {name}"
        for module in MODULES
        for name in imports(module)
        for top in [name.partition(".")[0]]
        if layer(module) not in ONLY_IN.get(top, {layer(module)})
    ]
    assert strays == []


def test_what_runs_in_the_jail_needs_the_stdlib_only() -> None:
    name = f"langchain_assistants.{'.'.join(JAILED.relative_to(PACKAGE).parts)}"
    strays = [
        f"{module.name} imports {found}"
        for module in JAILED.glob("*.py")
        if module.name != "backend.py"  # matplotlib itself imports it
        for found in imports(module)
        if found.partition(".")[0] not in sys.stdlib_module_names
        and not found.startswith(name)
    ]
    assert strays == []


def test_importing_the_package_is_light() -> None:
    program = "import sys, langchain_assistants; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "langchain_assistants" in loaded
    assert HEAVY_IMPORTS.isdisjoint(loaded)


def test_the_public_names_are_few_and_sorted() -> None:
    public = langchain_assistants.__all__
    assert list(public) == sorted(public)
    assert len(public) <= 15


@pytest.mark.parametrize("name", langchain_assistants.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(langchain_assistants, name) is not None
    assert name in dir(langchain_assistants)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = langchain_assistants.no_such_name


def test_a_module_of_more_than_500_lines_has_a_reason() -> None:
    long = {
        module.relative_to(PACKAGE).as_posix()
        for module in MODULES
        if len(module.read_text().splitlines()) > 500
    }
    assert long == set(LONG_MODULES)


def test_no_file_has_a_vague_name() -> None:
    places = ["src", "tests", "examples", "benchmarks"]
    vague = [
        path.relative_to(ROOT).as_posix()
        for place in places
        for path in (ROOT / place).rglob("*")
        if path.stem in VAGUE_NAMES
    ]
    assert vague == []


def test_no_test_sleeps() -> None:
    """`asyncio.sleep(0)` lets others run, a patched sleep is handed on: no waits.

    The programs of chaos are no tests: they play models, tools and people, who take
    their time.
    """
    sleepers = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        if path.parent.name != "chaos" or path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and [getattr(argument, "value", None) for argument in node.args] != [0]
    ]
    assert sleepers == []
