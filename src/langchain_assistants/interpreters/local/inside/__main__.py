"""The jail's process: it confines itself, then takes orders until its pipe ends.

In a namespace of processes the first of them does so too, and takes no orders.

Python runs this file by its path, so it first makes itself part of its package: no
import path leads to the rest of ours, which the jail need not show.
"""

from __future__ import annotations

import json
import os
import sys
import types
from os.path import dirname

if __name__ == "__main__":
    _package = types.ModuleType("inside")
    _package.__path__ = [dirname(__file__)]
    sys.modules["inside"] = _package
    __package__ = "inside"

    from .confinement import Confinement
    from .first import stay_behind
    from .worker import serve

    _confinement = Confinement(**json.loads(sys.argv[1]))
    if os.getpid() == 1:
        stay_behind(_confinement)
    _confinement.enter()
    serve(**json.loads(sys.argv[2]))
