"""The OpenAPI document of the application, made from the types it checks with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from langchain_assistants import __version__, types
from langchain_assistants.types.base import WireObject

_TAKES, _GIVES, _LISTS, _STREAMS = "x-takes", "x-gives", "x-lists", "x-streams"
_CONTENT = "x-content"
_REFERENCE = "#/components/schemas/{model}"

_DESCRIPTION = (
    "OpenAI's Assistants API v2 on LangGraph, with any chat model and your own "
    "database. Fields marked as extensions go beyond the original."
)


def doc(
    *,
    takes: Any = None,
    gives: type[WireObject] | None = None,
    lists: type[WireObject] | None = None,
    streams: bool = False,
    content: str | None = None,
) -> dict[str, Any]:
    """Return what a route's decorator needs to be documented.

    Args:
        takes: The TypedDict of its body.
        gives: The object it answers with.
        lists: The object of whose pages it answers with one.
        streams: Whether it answers with events when asked to.
        content: The field of its form that holds a content.
    """
    named = {_TAKES: takes, _GIVES: gives, _LISTS: lists}
    extra: dict[str, Any] = {
        mark: kind.__name__ for mark, kind in named.items() if kind is not None
    }
    return {"openapi_extra": {**extra, _STREAMS: streams, _CONTENT: content or ""}}


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document; it is made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="langchain-assistants",
            version=__version__,
            description=_DESCRIPTION,
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.clear()
        for path in document["paths"].values():
            for operation in path.values():
                _complete(operation, schemas)
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
        }
        document["security"] = [{"bearer": []}, {"api-key": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put the schemas of an operation where its marks are."""
    takes = operation.pop(_TAKES, None)
    gives = operation.pop(_GIVES, None)
    lists = operation.pop(_LISTS, None)
    streams = operation.pop(_STREAMS, False)
    operation["responses"].pop("422", None)
    content = operation.pop(_CONTENT, "")
    if content:
        operation["requestBody"] = _form(takes, content, schemas)
    elif takes is not None:
        body = _schema(takes, "validation", schemas)
        required = bool(schemas[_name(body)].get("required"))
        operation["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": body}},
        }
    answered = operation["responses"]["200"]
    if gives is not None:
        schema = _schema(gives, "serialization", schemas)
        answered["content"] = {"application/json": {"schema": schema}}
    if lists is not None:
        schema = _page(_schema(lists, "serialization", schemas))
        answered["content"] = {"application/json": {"schema": schema}}
        operation.setdefault("parameters", []).extend(_LIST_PARAMETERS)
    if streams:
        events = {"schema": {"type": "string"}}
        answered["content"]["text/event-stream"] = events
    operation["responses"]["default"] = {
        "description": "An error",
        "content": {"application/json": {"schema": _ERROR}},
    }


def _schema(name: str, mode: JsonSchemaMode, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to a type's schema, after storing it with what it needs."""
    kind = getattr(types, name)
    schema = TypeAdapter(kind).json_schema(mode=mode, ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    if "$ref" in schema:
        return schema
    schemas[name] = schema
    return {"$ref": _REFERENCE.format(model=name)}


def _form(takes: str | None, content: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an operation that takes a content with some fields."""
    binary = {"type": "string", "format": "binary"}
    fields: dict[str, Any] = {"properties": {}, "required": []}
    if takes is not None:
        fields = schemas[_name(_schema(takes, "validation", schemas))]
    form = {
        "type": "object",
        "required": [content, *fields["required"]],
        "properties": {content: binary, **fields["properties"]},
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _page(item: dict[str, Any]) -> dict[str, Any]:
    some_id = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    return {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": item},
            "first_id": some_id,
            "last_id": some_id,
            "has_more": {"type": "boolean"},
        },
    }


_LIST_PARAMETERS = [
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
    {
        "name": "order",
        "in": "query",
        "schema": {"enum": ["asc", "desc"], "default": "desc"},
    },
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {"name": "before", "in": "query", "schema": {"type": "string"}},
]
_SOME_STRING = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": _SOME_STRING,
                "code": _SOME_STRING,
            },
        }
    },
}
