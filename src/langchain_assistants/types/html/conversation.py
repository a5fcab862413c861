"""Messages as a chat."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from langchain_assistants.types.html.elements import (
    badge,
    count,
    element,
    head,
    moment,
    muted,
    note,
    picture,
    title,
)
from langchain_assistants.types.html.files import (
    Files,
    file_of,
    label,
    stored_picture,
)
from langchain_assistants.types.messages import (
    Annotation,
    Attachment,
    Content,
    FileCitation,
    ImageFileContent,
    ImageUrlContent,
    Message,
    RefusalContent,
    TextContent,
)

_LONGEST_TEXT = 10_000
_LONGEST_QUOTE = 300
_MOST_NOTES = 50
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)^```[ \t]*$\n?", re.DOTALL | re.MULTILINE)


def chat(
    messages: Sequence[Message], files: Files, *, earlier: str | None = None
) -> Element:
    """Lay messages out as a chat.

    Args:
        messages: Oldest first.
        files: What is known of their files.
        earlier: What to say of messages that come before them.
    """
    days = [message.created_at // 86_400 for message in messages]
    new_days = [day != before for before, day in itertools.pairwise([None, *days])]
    turns = [
        turn(message, files, day=day)
        for message, day in zip(messages, new_days, strict=True)
    ]
    empty = None if messages else "No messages yet."
    return element("div", "", note(earlier), *turns, note(empty))


def turn(message: Message, files: Files, *, day: bool = True) -> Element:
    """Show who said what, and when."""
    line = head(
        title(message.role),
        moment(message.created_at, day=day),
        _state(message),
    )
    bubble = element("div", "bubble", *body(message, files))
    return element("div", f"turn {message.role}", line, bubble)


def body(message: Message, files: Files) -> Iterator[Element]:
    """Yield a message's parts, what it cites and what is attached to it."""
    for part in message.content:
        yield from _part(part, files)
    if not message.content:
        yield muted("…" if message.status == "in_progress" else "(empty)")
    notes = [
        annotation
        for part in message.content
        if isinstance(part, TextContent)
        for annotation in part.text.annotations
    ]
    attachments = message.attachments or []
    if notes or attachments:
        shown = [_footnote(*note, files) for note in enumerate(notes[:_MOST_NOTES], 1)]
        left_out = len(notes) - len(shown)
        if left_out:
            shown.append(element("div", "", f"… {count(left_out, 'more note')}"))
        shown += [_attachment(attachment, files) for attachment in attachments]
        yield element("div", "foot", *shown)


def _state(message: Message) -> Element | None:
    if message.status == "completed":
        return None
    if message.status == "in_progress":
        return badge("in_progress", "busy")
    reason = message.incomplete_details and message.incomplete_details.reason
    return badge(f"incomplete: {reason}" if reason else "incomplete", "ask")


def _part(part: Content, files: Files) -> Iterator[Element]:
    match part:
        case TextContent():
            yield from _text(part.text.value)
        case RefusalContent(refusal=refusal):
            yield badge("refusal", "bad")
            yield from _text(refusal)
        case ImageFileContent(image_file=image):
            yield stored_picture(image.file_id, files)
        case ImageUrlContent(image_url=image):
            yield picture(image.url)


def _text(value: str) -> Iterator[Element]:
    """Yield plain text, with code between ``` fences in a block of its own."""
    shown, rest = value[:_LONGEST_TEXT], len(value) - _LONGEST_TEXT
    position = 0
    for fence in _FENCE.finditer(shown):
        yield from _paragraph(shown[position : fence.start()])
        yield element("pre", "code", fence[1].removesuffix("\n"))
        position = fence.end()
    yield from _paragraph(shown[position:])
    if rest > 0:
        yield element("div", "muted", f"… {count(rest, 'more character')}")


def _paragraph(text: str) -> Iterator[Element]:
    if text.strip():
        yield element("pre", "text", text.strip("\n"), dir="auto")


def _footnote(number: int, note: Annotation, files: Files) -> Element:
    shown = [
        f"[{number}] {note.text[:_LONGEST_QUOTE]} → ",
        *label(file_of(note), files),
    ]
    if isinstance(note, FileCitation):
        cited = note.file_citation
        shown += [] if cited.page is None else [f" p. {cited.page}"]
        quote = (cited.quote or "").strip()
        more = "…" if len(quote) > _LONGEST_QUOTE else ""
        shown += [f" “{quote[:_LONGEST_QUOTE]}{more}”"] if quote else []
    return element("div", "", *shown)


def _attachment(attachment: Attachment, files: Files) -> Element:
    tools = ", ".join(tool.type for tool in attachment.tools or ())
    for_tools = f" for {tools}" if tools else ""
    file_id = attachment.file_id
    named = ["a file"] if file_id is None else label(file_id, files)
    return element("div", "", "Attached: ", *named, for_tools)
