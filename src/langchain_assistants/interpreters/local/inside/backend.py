"""A matplotlib backend: Agg, whose `show` shows figures as PNGs.

matplotlib loads it by its name in MPLBACKEND, when the code imports pyplot.
"""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

from .figures import show

__all__ = ["FigureCanvas", "show"]
