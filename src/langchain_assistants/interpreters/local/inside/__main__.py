"""The jail's process: it confines itself, then takes orders until its pipe ends.

Python runs this file by its path, so it first makes itself part of its package: no
import path leads to the rest of ours, which the jail need not show.
"""

from __future__ import annotations

import json
import sys
import types
from os.path import dirname

if __name__ == "__main__":
    _package = types.ModuleType("inside")
    _package.__path__ = [dirname(__file__)]
    sys.modules["inside"] = _package
    __package__ = "inside"

    from .confinement import Confinement

    Confinement(**json.loads(sys.argv[1])).enter()

    from .worker import serve

    serve(**json.loads(sys.argv[2]))
