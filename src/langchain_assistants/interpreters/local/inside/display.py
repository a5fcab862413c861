"""The forms in which a value can be shown, by MIME type, as IPython's objects do."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from json import dumps

from .events import Events
from .streams import Stream

TYPE_CHECKING = False  # as `typing` has it, whose import takes long
if TYPE_CHECKING:
    from typing import Any

_LARGEST_TEXT = 1_000_000
_LARGEST_FORMS = 10_000_000
_PIECE = 100_000
_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
    "application/pdf": "_repr_pdf_",
    "text/javascript": "_repr_javascript_",
}


class Display:
    """The `display` of the code's namespace."""

    def __init__(self, events: Events, streams: Sequence[Stream]) -> None:
        """Tell what is shown as events, after what was printed before."""
        self._events = events
        self._streams = streams
        self._telling = threading.Lock()

    def __call__(self, *values: object) -> None:
        """Show each value."""
        for value in values:
            self.show(value)

    def show(self, value: object, *, is_result: bool = False) -> None:
        """Show one value in all its forms."""
        text = {"text/plain": repr(value)[:_LARGEST_TEXT]}
        data: dict[str, str] = {}
        left = _LARGEST_FORMS
        for mime, form in _forms(value):
            if isinstance(form, bytes):
                kind, told = data, base64.b64encode(form).decode()
            elif isinstance(form, str):
                kind, told = text, form
            else:
                continue
            if len(told) <= left:
                left -= len(told)
                kind[mime] = told
        for stream in self._streams:
            stream.flush()
        if self._events.in_child:
            return
        with self._telling:
            shown = {"text": self._ahead(text), "data": self._ahead(data)}
            self._events.tell(type="display", **shown, is_result=is_result)

    def _ahead(self, forms: dict[str, str]) -> dict[str, str | int]:
        """Tell long forms in pieces; leave the numbers of those in their places."""
        told: dict[str, str | int] = {}
        for mime, form in forms.items():
            if len(form) <= _PIECE:
                told[mime] = form
                continue
            starts = range(0, len(form), _PIECE)
            for start in starts:
                self._events.tell(type="piece", text=form[start : start + _PIECE])
            told[mime] = len(starts)
        return told


def _forms(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, type):
        return
    if _is_figure(value):
        from .figures import png

        yield "image/png", png(value)
        return
    bundle = _asked(value, "_repr_mimebundle_")
    if isinstance(bundle, dict):
        yield from (
            (str(mime), _decoded(str(mime), form)) for mime, form in bundle.items()
        )
        return
    for mime, method in _METHODS.items():
        form = _asked(value, method)
        if form is not None:
            yield mime, _decoded(mime, form)


def _asked(value: object, method: str) -> Any:
    """Call a method of the value; None without one, or when it fails."""
    try:
        form = getattr(value, method)()
    except Exception:
        return None
    # Some return their form together with metadata.
    return form[0] if isinstance(form, tuple) and form else form


def _decoded(mime: str, form: object) -> object:
    if mime == "application/json" and not isinstance(form, str):
        return dumps(form, default=repr)
    if isinstance(form, str) and mime in {"image/png", "image/jpeg", "application/pdf"}:
        try:
            return base64.b64decode(form, validate=True)
        except ValueError:
            return None
    return form


def _is_figure(value: object) -> bool:
    module = type(value).__module__
    return module.startswith("matplotlib.figure") and hasattr(value, "savefig")
