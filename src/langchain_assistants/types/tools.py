"""Tools as an assistant or a run lists them, and the choice between them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, Required

from pydantic import BeforeValidator, Discriminator, Field, ValidationInfo
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    TAG,
    JsonObject,
    Opt,
    SafeName,
    WireObject,
    by_type,
    one_of,
    request,
    tag,
    type_of,
)

RunOn = Literal["engine", "client"]

PROVIDER_TOOL_PREFIXES = (
    "bash_",
    "code_execution",
    "computer",
    "google_search",
    "image_generation",
    "mcp",
    "memory_",
    "shell",
    "text_editor",
    "tool_search",
    "url_context",
    "web_fetch",
    "web_search",
)
"""How the types of tools begin that a model's provider runs itself.

OpenAI, Anthropic and Google date or version their names (`web_search_20250305`), so
only the beginning is known.
"""

# The NUL keeps it apart from every type that a request can name.
_PROVIDER = TAG + "provider"
_OUR_TYPES = ("code_interpreter", "function", "file_search")


class CodeInterpreterTool(WireObject):
    """Let the model run Python."""

    type: Literal["code_interpreter"] = "code_interpreter"
    run_on: Opt[RunOn] = None


class RankingOptions(WireObject):
    """Say how file search ranks, and from which score on it keeps a result."""

    score_threshold: float
    ranker: Opt[str] = None


class FileSearchOptions(WireObject):
    """Tune file search."""

    max_num_results: Opt[int] = None
    ranking_options: Opt[RankingOptions] = None


class FileSearchTool(WireObject):
    """Let the model search the vector stores of the assistant and the thread."""

    type: Literal["file_search"] = "file_search"
    file_search: Opt[FileSearchOptions] = None
    run_on: Opt[RunOn] = None


class FunctionDefinition(WireObject):
    """Describe a function to the model; `parameters` is a JSON schema."""

    name: str
    description: Opt[str] = None
    parameters: Opt[dict[str, Any]] = None
    strict: Opt[bool] = None


class FunctionTool(WireObject):
    """Let the model call a function.

    `run_on` is an extension: `"engine"` asks for the engine's tool of that name, else
    the call comes back to the caller.
    """

    type: Literal["function"] = "function"
    function: FunctionDefinition
    run_on: Opt[RunOn] = None


class ProviderTool(WireObject):
    """Pass a hosted tool of the model's provider through, with all its fields."""

    type: str
    run_on: Opt[RunOn] = None


def _tool_tag(value: object) -> str | None:
    kind = type_of(value)
    if kind is None:
        return None
    return TAG + (kind if kind in _OUR_TYPES else _PROVIDER)


Tool = Annotated[
    Annotated[CodeInterpreterTool, tag("code_interpreter")]
    | Annotated[FunctionTool, tag("function")]
    | Annotated[FileSearchTool, tag("file_search")]
    | Annotated[ProviderTool, tag(_PROVIDER)],
    Discriminator(_tool_tag),
]


@request
class CodeInterpreterToolParam(TypedDict, total=False):
    """A code interpreter in a request."""

    type: Required[Literal["code_interpreter"]]
    run_on: RunOn | None


@request
class RankingOptionsParam(TypedDict, total=False):
    """Ranking options in a request."""

    score_threshold: Required[Annotated[float, Field(ge=0, le=1)]]
    ranker: Literal["auto", "default_2024_08_21"] | None


@request
class FileSearchOptionsParam(TypedDict, total=False):
    """File search options in a request."""

    max_num_results: Annotated[int, Field(ge=1, le=50)] | None
    ranking_options: RankingOptionsParam | None


@request
class FileSearchToolParam(TypedDict, total=False):
    """File search in a request."""

    type: Required[Literal["file_search"]]
    file_search: FileSearchOptionsParam | None
    run_on: RunOn | None


@request
class FunctionDefinitionParam(TypedDict, total=False):
    """A function's description in a request."""

    name: Required[SafeName]
    description: str | None
    parameters: JsonObject | None
    strict: bool | None


@request
class FunctionToolParam(TypedDict, total=False):
    """A function in a request."""

    type: Required[Literal["function"]]
    function: Required[FunctionDefinitionParam]
    run_on: RunOn | None


def _provider_tag(value: object) -> str | None:
    kind = type_of(value)
    if kind is None:
        return None
    is_provider = kind not in _OUR_TYPES and kind.startswith(PROVIDER_TOOL_PREFIXES)
    return TAG + (_PROVIDER if is_provider else kind)


def _not_retrieval(value: Any, info: ValidationInfo) -> Any:
    """Read v1's `{"type": "retrieval"}` as file search."""
    if type_of(value) != "retrieval" or not isinstance(value, dict):
        return value
    if info.context != "wire":
        warnings.warn(
            "The tool type 'retrieval' is Assistants v1; use 'file_search'.",
            DeprecationWarning,
            stacklevel=2,
        )
    return value | {"type": "file_search"}


if TYPE_CHECKING:
    ToolParam = (
        CodeInterpreterToolParam
        | FunctionToolParam
        | FileSearchToolParam
        | CodeInterpreterTool
        | FunctionTool
        | FileSearchTool
        | ProviderTool
        | dict[str, Any]
    )
else:
    ToolParam = Annotated[
        Annotated[CodeInterpreterToolParam, tag("code_interpreter")]
        | Annotated[FunctionToolParam, tag("function")]
        | Annotated[FileSearchToolParam, tag("file_search")]
        | Annotated[JsonObject, tag(_PROVIDER)],
        Discriminator(_provider_tag),
        BeforeValidator(_not_retrieval),
    ]


@request
class NamedFunction(TypedDict):
    """The name of the function to call."""

    name: SafeName


@request
class FunctionChoice(TypedDict):
    """Make the model call this function."""

    type: Literal["function"]
    function: NamedFunction


@request
class CodeInterpreterChoice(TypedDict):
    """Make the model use the code interpreter."""

    type: Literal["code_interpreter"]


@request
class FileSearchChoice(TypedDict):
    """Make the model use file search."""

    type: Literal["file_search"]


NamedToolChoice = Annotated[
    Annotated[FunctionChoice, tag("function")]
    | Annotated[CodeInterpreterChoice, tag("code_interpreter")]
    | Annotated[FileSearchChoice, tag("file_search")],
    by_type,
    BeforeValidator(_not_retrieval),
]

ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], tag("string")]
    | Annotated[NamedToolChoice, tag("object")],
    one_of("'none', 'auto', 'required', or an object"),
]

AttachmentToolParam = Annotated[
    Annotated[CodeInterpreterChoice, tag("code_interpreter")]
    | Annotated[FileSearchChoice, tag("file_search")],
    by_type,
    BeforeValidator(_not_retrieval),
]


@request
class JsonSchemaParam(TypedDict, total=False):
    """The schema that the answer must follow."""

    name: Required[SafeName]
    description: str | None
    schema: JsonObject | None
    strict: bool | None


@request
class TextFormat(TypedDict):
    """Plain text."""

    type: Literal["text"]


@request
class JsonObjectFormat(TypedDict):
    """Any JSON object."""

    type: Literal["json_object"]


@request
class JsonSchemaFormat(TypedDict):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaParam


ResponseFormat = Annotated[
    Annotated[Literal["auto"], tag("string")]
    | Annotated[
        Annotated[
            Annotated[TextFormat, tag("text")]
            | Annotated[JsonObjectFormat, tag("json_object")]
            | Annotated[JsonSchemaFormat, tag("json_schema")],
            by_type,
        ],
        tag("object"),
    ],
    one_of("'auto' or an object"),
]
