"""OpenAI's own OpenAPI document of the Assistants API, ready to be tested against.

`assistants_v2.yaml` is the published document, cut to the operations that are served
and not changed otherwise. What is changed here is changed because the document breaks
the rules of OpenAPI 3.1, or because it contradicts what the service and its clients
sent.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

JSON: TypeAlias = dict[str, Any]

_PATH = Path(__file__).with_name("assistants_v2.yaml")
_REFERENCE = "#/components/schemas/"
_TAKEN = "Taken"
"""Begins the names of the schemas of what is sent, apart from what is answered."""

_EVENTS = (
    "ThreadStreamEvent",
    "RunStreamEvent",
    "RunStepStreamEvent",
    "MessageStreamEvent",
)
_NULL = {"type": "null"}
_ERROR = {
    "description": "What every operation answers when it refuses.",
    "content": {"application/json": {"schema": {"$ref": f"{_REFERENCE}ErrorResponse"}}},
}


def read() -> JSON:
    """Return the document, corrected."""
    text = _PATH.read_text(encoding="utf-8")
    document: JSON = _with_nulls(yaml.load(text, Loader=yaml.CSafeLoader))
    schemas = document["components"]["schemas"]
    _correct_answers(schemas)
    _take_apart(document)
    for name, schema in schemas.items():
        if name.startswith(_TAKEN):
            _loosen(schema)
    for path, operation in operations(document):
        _correct(path, operation, schemas)
    for name in _EVENTS:
        for event in schemas[name]["oneOf"]:
            _write_data_as_text(event)
    return document


def with_ids(
    document: JSON, known: Mapping[str, Sequence[str]], doomed: Mapping[str, str]
) -> JSON:
    """Return the document with ids of objects that exist where ids are sent.

    Args:
        document: What `read` returned.
        known: Ids for each name that a field or a path gives them.
        doomed: Others, for the operations that delete.
    """
    document = copy.deepcopy(document)
    for name, schema in document["components"]["schemas"].items():
        if name.startswith(_TAKEN):
            _name_ids(schema, known)
    for path, operation in operations(document):
        deletes = operation is document["paths"][path].get("delete")
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                last = path.endswith(f"{{{name}}}")
                ids = [doomed[name]] if deletes and last else known[name]
                parameter["schema"] = {"type": "string", "enum": list(ids)}
    return document


def operations(document: JSON) -> Iterator[tuple[str, JSON]]:
    """Yield the operations of a document, each with its path."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _with_nulls(node: Any) -> Any:
    """Write 3.0's `nullable: true` as 3.1 does; validators pass over the former."""
    if isinstance(node, list):
        return [_with_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    parts = node.get("allOf", [])
    others = [part for part in parts if part != {"nullable": True}]
    rewritten = {key: _with_nulls(value) for key, value in node.items()}
    nullable = rewritten.pop("nullable", False) is True
    if len(others) < len(parts):
        rewritten["allOf"] = _with_nulls(others)
        nullable = True
    return {"anyOf": [rewritten, _NULL]} if nullable else rewritten


def _correct_answers(schemas: JSON) -> None:
    """Let the schemas of answers say what the service sent."""
    # An assistant may have 128 tools, and a run's are its assistant's.
    schemas["RunObject"]["properties"]["tools"]["maxItems"] = 128
    batch = schemas["VectorStoreFileBatchObject"]["properties"]["object"]
    batch["enum"] = ["vector_store.file_batch"]
    # It may be uploaded.
    schemas["OpenAIFile"]["properties"]["purpose"]["enum"].append("evals")
    for name, schema in schemas.items():
        if name.startswith("List"):  # an empty one
            for edge in ("first_id", "last_id"):
                schema["properties"][edge] = {"anyOf": [{"type": "string"}, _NULL]}


def _correct(path: str, operation: JSON, schemas: JSON) -> None:
    """Add what every operation does: refusals, streams, limits of lists."""
    operation["responses"]["default"] = _ERROR
    answered = operation["responses"]["200"]["content"]
    body = _body(operation, schemas)
    if "requestBody" in operation and not body.get("required"):
        operation["requestBody"]["required"] = False  # none counts as an empty one
    if "stream" in body.get("properties", {}):
        event = {"$ref": f"{_REFERENCE}AssistantStreamEvent"}
        answered["text/event-stream"] = {"itemSchema": event}
    if path == "/files/{file_id}/content":  # said to be a JSON string
        operation["responses"]["200"]["content"] = {"*/*": {}}
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "limit":
            most = 10_000 if path == "/files" else 100
            parameter["schema"] |= {"minimum": 1, "maximum": most}


def _write_data_as_text(event: JSON) -> None:
    """Say how the data of an event is sent."""
    event["properties"]["data"] = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": event["properties"]["data"],
    }


def _take_apart(document: JSON) -> None:
    """Give bodies schemas of their own: some are those of answers, too."""
    schemas = document["components"]["schemas"]
    waiting = [
        operation["requestBody"]
        for _, operation in operations(document)
        if "requestBody" in operation
    ]
    while waiting:
        for reference in _references(waiting.pop()):
            name = reference["$ref"].removeprefix(_REFERENCE)
            taken = f"{_TAKEN}{name}"
            reference["$ref"] = f"{_REFERENCE}{taken}"
            if taken not in schemas:
                schemas[taken] = copy.deepcopy(schemas[name])
                waiting.append(schemas[taken])


def _references(node: Any) -> Iterator[JSON]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _loosen(node: Any) -> None:
    """Let optional fields be null and `file_search` empty: "not given" both times."""
    for schema in _objects(node):
        required = schema.get("required", [])
        for name, field in schema["properties"].items():
            if name not in required:
                schema["properties"][name] = {"anyOf": [field, _NULL]}
        if "vector_stores" in schema["properties"]:
            schema.pop("oneOf", None)
            schema.pop("anyOf", None)


def _name_ids(node: Any, known: Mapping[str, Sequence[str]]) -> None:
    """Offer ids; others stay possible, for which of them exist is in no schema."""
    for schema in _objects(node):
        for name in schema["properties"].keys() & known.keys():
            some: JSON = {"type": "string", "enum": list(known[name])}
            if name.endswith("_ids"):
                some = {"type": "array", "items": some, "maxItems": 1}
            schema["properties"][name] = {"anyOf": [some, schema["properties"][name]]}


def _objects(node: Any) -> Iterator[JSON]:
    """Yield the schemas in a schema that have properties, innermost first."""
    if isinstance(node, dict):
        for value in list(node.values()):
            yield from _objects(value)
        if isinstance(node.get("properties"), dict) and "type" in node:
            yield node
    elif isinstance(node, list):
        for item in node:
            yield from _objects(item)


def _body(operation: JSON, schemas: JSON) -> JSON:
    """Return the schema of an operation's JSON body, or an empty one."""
    content = operation.get("requestBody", {}).get("content", {})
    schema: JSON = content.get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").removeprefix(_REFERENCE)
    return schemas[name] if name else schema
