"""The OpenAPI document as one page for readers: no scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color-scheme: light dark; }
code { font-size: 0.92em; }
details { border-top: 1px solid #8884; padding: 0.35rem 0; }
summary { cursor: pointer; }
summary b { display: inline-block; width: 4.5rem; font-size: 0.85em; }
table { border-collapse: collapse; margin: 0.5rem 0 0.5rem 4.5rem; }
td { padding: 0.1rem 1rem 0.1rem 0; vertical-align: top; }
"""


def page(document: dict[str, Any]) -> str:
    """Return the page: each operation with the fields of its body and its answer."""
    info, schemas = document["info"], document["components"]["schemas"]
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            [group] = operation["tags"]
            shown = "".join(_operation(method, path, operation, schemas))
            groups.setdefault(group, []).append(shown)
    body = "".join(
        f"<h2>{escape(group.replace('_', ' ').capitalize())}</h2>{''.join(shown)}"
        for group, shown in groups.items()
    )
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>. Point the '
        f"<code>base_url</code> of any OpenAI client at <code>/v1</code>.</p>{body}"
    )


def _operation(
    method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> Iterator[str]:
    yield (
        f"<details><summary><b>{method.upper()}</b><code>{escape(path)}</code> "
        f"{escape(operation.get('description') or operation['summary'])}</summary>"
    )
    yield "<table>"
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            yield _row(parameter["name"], parameter["schema"], "in the query")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content["schema"], schemas)
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            remark = "required" if name in required else ""
            yield _row(name, field, remark or kind.removeprefix("application/"))
    answered = operation["responses"]["200"].get("content", {})
    for kind, content in answered.items():
        yield _row("answer", content.get("schema", {}), kind)
    yield "</table></details>"


def _row(name: str, schema: dict[str, Any], remark: str) -> str:
    cells = (f"<code>{escape(name)}</code>", escape(_kind(schema)), escape(remark))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _kind(schema: dict[str, Any]) -> str:
    """Say in a few words what a schema takes."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        kinds = [_kind(choice) for choice in choices]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    data = schema.get("properties", {}).get("data", {})
    if data:
        return f"list of {_kind(data.get('items', {}))}"
    return str(schema.get("const") or schema.get("type") or "any")


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = schemas[_kind(schema)]
    return found
