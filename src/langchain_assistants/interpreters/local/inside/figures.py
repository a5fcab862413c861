"""The open figures of matplotlib, if the code has imported it: shown as PNGs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

display: Callable[..., None] = print
"""What shows a figure; the worker sets it."""


def show(*_: object, **__: object) -> None:
    """Show and close the open figures; pyplot.show comes here."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        if figure.get_axes() or figure.texts or figure.images:
            display(figure)
    pyplot.close("all")


def png(figure: Any) -> bytes:
    """Draw a figure."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    return drawn.getvalue()
