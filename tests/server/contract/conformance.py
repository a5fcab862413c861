"""Writes docs/conformance.md: OpenAI's document beside what the application serves.

`python -m tests.server.contract.conformance` writes it; a test keeps it up to date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.server.contract.document import JSON, read

from langchain_assistants import AssistantsEngine
from langchain_assistants.server import v1
from langchain_assistants.server.app import create_app
from langchain_assistants.types import EVENT_NAMES

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"

_METHODS = ("get", "post", "delete")
_EVENTS = (
    "ThreadStreamEvent",
    "RunStreamEvent",
    "RunStepStreamEvent",
    "MessageStreamEvent",
    "ErrorEvent",
    "DoneEvent",
)
_HEAD = """\
# Conformance

Made by `python -m tests.server.contract.conformance` from OpenAI's OpenAPI document and
from the application; a test fails when it is out of date. That requests and answers
follow the schemas is tested by schemathesis, by OpenAI's own clients (1.20, the newest
1.x, 2.x and 3.x, and npm's) and by [tests/server](../tests/server).
"""


class Operation(NamedTuple):
    """An operation of a document.

    Attributes:
        takes: The fields of its body.
        gives: The fields of its answer.
    """

    takes: frozenset[str]
    gives: frozenset[str]


def operations(document: JSON) -> dict[str, Operation]:
    """Return the operations of a document by method and path, without `/v1`."""
    return {
        f"{method.upper()} {path.removeprefix('/v1')}": Operation(
            _fields(operation.get("requestBody"), document),
            _fields(operation["responses"].get("200"), document),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    }


def _fields(part: JSON | None, document: JSON) -> frozenset[str]:
    contents = (part or {}).get("content", {})
    kinds = [kind for kind in contents if kind != "text/event-stream"]
    if not kinds:
        return frozenset()
    return frozenset(_names(contents[kinds[0]].get("schema", {}), document))


def _names(schema: JSON, document: JSON) -> Iterator[str]:
    """Yield the names of the properties of a schema, in whatever variant."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _names(document["components"]["schemas"][name], document)
    yield from schema.get("properties", {})
    for variants in ("allOf", "anyOf", "oneOf"):
        for variant in schema.get(variants, ()):
            yield from _names(variant, document)


def event_names(document: JSON) -> list[str]:
    """Return the names of the events of a stream."""
    schemas = document["components"]["schemas"]
    names = []
    for name in _EVENTS:
        for event in schemas[name].get("oneOf", [schemas[name]]):
            names += event["properties"]["event"]["enum"]
    return names


def served() -> JSON:
    """Return the document of the application."""
    with AssistantsEngine("sqlite:///:memory:", recover=False) as engine:
        document: JSON = create_app(engine).openapi()
    return document


def page() -> str:
    """Return the text of the page."""
    original, ours = read(), served()
    sections = [
        _HEAD,
        _operations_section(operations(original), operations(ours)),
        _events_section(event_names(original)),
        _v1_section(),
        _azure_section(),
    ]
    return "\n".join(sections)


def missing(original: JSON, ours: JSON) -> list[str]:
    """Return what the original has and the application has not."""
    theirs, own = operations(original), operations(ours)
    lacking = [name for name in theirs if name not in own]
    for name, operation in theirs.items():
        if name in own:
            fields = operation.takes - own[name].takes
            fields |= operation.gives - own[name].gives
            lacking += [f"{name}: {field}" for field in sorted(fields)]
    return lacking + [e for e in event_names(original) if e not in EVENT_NAMES]


def _operations_section(theirs: dict[str, Operation], own: dict[str, Operation]) -> str:
    lines = [
        f"## Operations: {len(theirs.keys() & own.keys())} of {len(theirs)}",
        "",
        "| operation | status | fields it takes | fields it gives | extensions |",
        "|---|---|---|---|---|",
    ]
    for name, operation in theirs.items():
        if name not in own:
            lines.append(f"| `{name}` | missing | | | |")
            continue
        mine = own[name]
        added = (mine.takes - operation.takes) | (mine.gives - operation.gives)
        lines.append(
            f"| `{name}` | served | {_share(operation.takes, mine.takes)} "
            f"| {_share(operation.gives, mine.gives)} | {_listed(added)} |"
        )
    extra = [f"- `{name}`" for name in own if name not in theirs]
    return "\n".join([*lines, "", "Operations of our own:", "", *extra, ""])


def _share(theirs: frozenset[str], own: frozenset[str]) -> str:
    if not theirs:
        return ""
    lacking = theirs - own
    share = f"{len(theirs & own)} of {len(theirs)}"
    return f"{share}, not {_listed(lacking)}" if lacking else f"all {len(theirs)}"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _events_section(names: list[str]) -> str:
    lines = [
        f"## Events: {len(set(names) & set(EVENT_NAMES))} of {len(names)}",
        "",
        "| event | status |",
        "|---|---|",
    ]
    for name in names:
        lines.append(f"| `{name}` | {'sent' if name in EVENT_NAMES else 'missing'} |")
    return "\n".join([*lines, ""])


def _v1_section() -> str:
    """Tell what of the first API is served; its document is not published any more."""
    routes: list[Any] = list(v1.router.routes)
    lines = [
        "## The first Assistants API",
        "",
        "`OpenAI-Beta: assistants=v1` chooses the shape of answers; it is refused by",
        "`--strict-beta-header` alone. Old names are understood under either header.",
        "",
        "| of v1 | status |",
        "|---|---|",
        "| tool, choice and step `retrieval` | stored as `file_search`, answered as "
        "`retrieval` |",
        "| `file_ids` of assistants | given to the tools that take files; kept until "
        "there is one |",
        "| `file_ids` of messages | attachments for both tools |",
        "| `file_ids` of runs | `[]` |",
        *(
            f"| `{sorted(route.methods)[0]} {route.path}` | served |"
            for route in routes
        ),
        "",
        "Objects that have shapes of their own: "
        + ", ".join(f"`{name}`" for name in v1.SHAPES)
        + ".",
        "",
    ]
    return "\n".join(lines)


def _azure_section() -> str:
    versions = ", ".join(f"`{name}`" for name in sorted(v1.AZURE_VERSIONS))
    return "\n".join(
        [
            "## Azure OpenAI",
            "",
            "| of Azure | status |",
            "|---|---|",
            "| `/openai/...` and `/openai/v1/...` | every operation above |",
            "| `api-key`, and Entra tokens as `Authorization: Bearer` "
            "| keys of `keys create` |",
            f"| `api-version` {versions} | answers in the shapes of the first API |",
            "| any other `api-version`, or none | answers as above |",
            "| a deployment's name as `model` | `--model-map NAME=OTHER` |",
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
