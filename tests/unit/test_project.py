"""What the project promises as a whole: its extras, pins, size and clean files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import langchain_assistants

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()

EXTRAS = {
    "openai": {"langchain-openai", "openai"},
    "server": {
        "fastapi",
        "httptools",
        "prometheus-client",
        "python-multipart",
        "uvicorn",
    },
    "postgres": {"pgvector", "procrastinate", "psycopg"},
    "e2b": {"e2b", "e2b-code-interpreter"},
    "search": {"ddgs"},
    "files": {"numpy", "openpyxl", "pypdf", "python-docx", "python-pptx"},
    "interpreter": {"matplotlib", "numpy", "pandas"},
    "observability": {
        "opentelemetry-api",
        "opentelemetry-sdk",
        "prometheus-client",
        "structlog",
    },
}

# Bracketed dots keep the pattern from matching this file.
REGISTRY = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|index[-_]url|find[-_]links"
)
# But for the home of each E2B sandbox: it is the same for everybody.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?!home/user\b)(?:home|root|tmp|Users|work)/\w"
)


def project_files() -> Iterator[Path]:
    """Every file of the tree that is not made by a tool: no caches, no .venv."""
    for top in ROOT.iterdir():
        if top.name.startswith(".") and top.name not in {".ci", ".github"}:
            continue
        if top.name in {"build", "dist", "htmlcov"}:
            continue
        for path in [top] if top.is_file() else top.rglob("*"):
            inner = path.relative_to(top).parts
            hidden = any(p.startswith(".") or p == "__pycache__" for p in inner)
            if path.is_file() and not hidden:
                yield path


def found(pattern: re.Pattern[str]) -> list[str]:
    """Say where the pattern occurs, as file:line."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in project_files()
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="ignore").splitlines(), start=1
        )
        if pattern.search(line)
    ]


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def closure(requirements: list[str]) -> set[str]:
    """Walk the installed metadata to all that these requirements bring here."""
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        wanted = todo.pop()
        for extra in {"", *wanted.extras}:
            key = (canonicalize_name(wanted.name), extra)
            if key in seen:
                continue
            seen.add(key)
            todo += [
                needed
                for needed in map(Requirement, requires(wanted.name) or ())
                if needed.marker is None or needed.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def test_the_version_is_the_same_in_pyproject_and_in_the_package() -> None:
    assert langchain_assistants.__version__ == PROJECT["version"]


def test_the_extras_bring_what_they_name() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    del extras["dev"]
    (everything,) = (Requirement(text) for text in extras.pop("all"))
    assert {extra: names(needed) for extra, needed in extras.items()} == EXTRAS
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(EXTRAS)


def test_a_base_install_is_at_most_55_packages() -> None:
    packages = closure(PROJECT["dependencies"]) | {PROJECT["name"]}
    assert len(packages) <= 55, sorted(packages)


@pytest.mark.parametrize("extra", ["", "openai", "dev"])
def test_every_package_that_is_installed_here_is_pinned(extra: str) -> None:
    extras = PROJECT["optional-dependencies"]
    needed = extras[extra] if extra else PROJECT["dependencies"]
    own = [text for text in needed if Requirement(text).name != PROJECT["name"]]
    pinned = re.findall(r"^([\w.-]+)==", CONSTRAINTS, flags=re.MULTILINE)
    assert closure(own) <= {canonicalize_name(name) for name in pinned}


def test_constraints_are_exact_pins_and_nothing_else() -> None:
    lines = [line for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [\w .'<>=!()]+)?", line), line


def test_no_file_names_a_package_registry() -> None:
    assert found(REGISTRY) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert found(MACHINE_PATH) == []
