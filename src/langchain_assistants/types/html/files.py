"""The files that objects on display show, link or cite; another reads them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from xml.etree.ElementTree import Element

from langchain_assistants.types.html.elements import (
    Child,
    code,
    element,
    muted,
    picture,
)
from langchain_assistants.types.messages import (
    Annotation,
    FileCitation,
    ImageFileContent,
    Message,
    TextContent,
)
from langchain_assistants.types.records import Origin, StoredFile
from langchain_assistants.types.steps import (
    CodeInterpreterCall,
    ImageOutput,
    RunStep,
    ToolCallsDetails,
)

Files: TypeAlias = Mapping[str, StoredFile]
"""What is known of files, by their ids."""

_MOST_PICTURES = 10
_MOST_BYTES = 2_000_000
_LONGEST_NAME = 200
# A picture is what its bytes say, not what somebody called it.
_SIGNATURES = {
    "image/png": (0, (b"\x89PNG\r\n\x1a\n",)),
    "image/jpeg": (0, (b"\xff\xd8\xff",)),
    "image/gif": (0, (b"GIF87a", b"GIF89a")),
    "image/webp": (8, (b"WEBPVP8 ", b"WEBPVP8L", b"WEBPVP8X")),
}


def read_files(
    origin: Origin, messages: Sequence[Message], steps: Sequence[RunStep]
) -> Files:
    """Read the files of objects, and the content of their newest pictures."""
    pictures = [file for step in steps for file in _pictures_of_step(step)]
    pictures += [file for message in messages for file in _pictures_of(message)]
    named = [file for message in messages for file in _named_in(message)]
    if not pictures and not named:
        return {}
    newest = [*dict.fromkeys(reversed(pictures))][:_MOST_PICTURES]
    return origin.files(
        {*pictures, *named}, contents_of={*newest}, most_bytes=_MOST_BYTES
    )


def stored_picture(file_id: str, files: Files) -> Element:
    """Show the picture in a file; name the file if it cannot be shown."""
    known = files.get(file_id)
    content = None if known is None else known.content
    kind = None if content is None else _kind(content)
    if known is None or content is None or kind is None:
        return element("div", "", "Picture: ", *label(file_id, files))
    data = base64.b64encode(content).decode()
    return picture(f"data:{kind};base64,{data}", known.name[:_LONGEST_NAME])


def without_pictures_of(messages: Iterable[Message], files: Files) -> Files:
    """Keep the names alone of pictures that messages show themselves."""
    shown = {file for message in messages for file in _pictures_of(message)}
    return {
        file_id: file._replace(content=None) if file_id in shown else file
        for file_id, file in files.items()
    }


def label(file_id: str, files: Files) -> list[Child]:
    """Name a file as people do, where that is known, and by its id."""
    known = files.get(file_id)
    if known is None:
        return [code(file_id)]
    return [known.name[:_LONGEST_NAME], " ", muted(code(file_id))]


def file_of(note: Annotation) -> str:
    """Return the id of the file that an annotation cites or links."""
    if isinstance(note, FileCitation):
        return note.file_citation.file_id
    return note.file_path.file_id


def _kind(content: bytes) -> str | None:
    """Return the type of a picture that every browser shows without executing it."""
    for kind, (start, signatures) in _SIGNATURES.items():
        if content.startswith(signatures, start):
            return kind
    return None


def _pictures_of(message: Message) -> Iterator[str]:
    for part in message.content:
        if isinstance(part, ImageFileContent):
            yield part.image_file.file_id


def _pictures_of_step(step: RunStep) -> Iterator[str]:
    if not isinstance(step.step_details, ToolCallsDetails):
        return
    for call in step.step_details.tool_calls:
        if isinstance(call, CodeInterpreterCall):
            for output in call.code_interpreter.outputs:
                if isinstance(output, ImageOutput):
                    yield output.image.file_id


def _named_in(message: Message) -> Iterator[str]:
    for part in message.content:
        if isinstance(part, TextContent):
            yield from map(file_of, part.text.annotations)
    for attachment in message.attachments or ():
        if attachment.file_id:
            yield attachment.file_id
