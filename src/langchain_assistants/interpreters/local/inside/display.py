"""The forms in which a value can be shown, by MIME type, as IPython's objects do."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from json import dumps
from typing import Any

from .events import Events
from .streams import Stream

_LARGEST_TEXT = 1_000_000
_LARGEST_FORM = 10_000_000
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

    def __call__(self, *values: object) -> None:
        """Show each value."""
        for value in values:
            self.show(value)

    def show(self, value: object, *, is_result: bool = False) -> None:
        """Show one value in all its forms."""
        text: dict[str, str] = {"text/plain": repr(value)[:_LARGEST_TEXT]}
        data: dict[str, str] = {}
        for mime, form in _forms(value):
            if isinstance(form, bytes):
                encoded = base64.b64encode(form).decode()
                if len(encoded) <= _LARGEST_FORM:
                    data[mime] = encoded
            elif isinstance(form, str) and len(form) <= _LARGEST_FORM:
                text[mime] = form
        for stream in self._streams:
            stream.flush()
        self._events.tell(type="display", text=text, data=data, is_result=is_result)


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
