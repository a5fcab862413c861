"""Code that does its worst, and what its session has to be like afterwards."""

from __future__ import annotations

_STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass
"""
_A_LARGE_FILE = """
with open("x", "wb") as file:
    for _ in range(9):
        file.write(bytes(1 << 20))
        file.flush()
"""
_NONSENSE = """
import os
for fd in range(3, 250):
    try:
        os.write(fd, b"[" * 100_000 + b"\\n")
    except OSError:
        pass
"""
_BINARY = """
import os, sys
sys.stdout.buffer.write(bytes(range(256)))
os.write(2, bytes(range(256)))
print("\\ud800", "\\x00")
"""
_OTHER_BUILTINS = """
import builtins
for name in list(vars(builtins)):
    if name[0] != "_":
        setattr(builtins, name, None)
"""
_A_LIE = """
import json, os
for fd in range(3, 250):
    for line in ({"type": "done", "number": "x"}, {"type": "display", "text": {"a": 1}},
                 {"type": "display", "text": {}, "data": {"image/png": "no base64"}},
                 {"type": "stdout", "text": 5}, {"type": []}, {"type": "ready"}):
        try:
            os.write(fd, json.dumps(line).encode() + b"\\n")
        except OSError:
            break
"""

_KILLED = {"error": "InterpreterDied", "state_lost": True}
_LATE = {"stopped": "timeout", "timeout": 0.3, "state_lost": False}
_TOO_LATE = {**_LATE, "state_lost": True}
_FLOOD = {"stopped": "output_limit", "truncated": True, "state_lost": False}
_FINE = {"error": None, "state_lost": False}


def _fails(error: str) -> dict[str, object]:
    return {"error": error, "state_lost": False}


SURVIVED: list[tuple[str, str, bool, dict[str, object]]] = [
    ("an_endless_loop", "while True: pass", False, _LATE),
    ("an_endless_sleep", "import time; time.sleep(99)", False, _LATE),
    ("a_bare_except", "try:\n  while 1: pass\nexcept: pass", False, _LATE),
    ("a_loop_in_c", "import re; re.match('(a+)+$', 'a' * 64 + 'b')", True, _TOO_LATE),
    ("no_interrupts", _STUBBORN, True, _TOO_LATE),
    ("a_huge_array", "bytearray(64 << 30)", False, _fails("MemoryError")),
    (
        "growing_memory",
        "kept_all = []\nwhile 1: kept_all.append(bytearray(b'x' * 1_000_000))",
        True,
        _fails("MemoryError"),
    ),
    ("a_large_file", _A_LARGE_FILE, True, _fails("OSError")),
    ("a_flood_of_lines", "while True: print('x' * 60)", False, _FLOOD),
    (
        "a_flood_of_bytes",
        "import os\nwhile True: os.write(1, b'y' * 65536)",
        False,
        _FLOOD,
    ),
    ("a_flood_of_values", "while True: display(1)", False, _FLOOD),
    (
        "an_endless_line",
        "import sys\nwhile True: sys.stdout.write('x' * 100_000)",
        False,
        _FLOOD,
    ),
    ("leaving", "import os; os._exit(3)", False, _KILLED),
    ("killing_itself", "import os; os.kill(os.getpid(), 9)", False, _KILLED),
    ("a_crash", "import ctypes; ctypes.string_at(0)", False, _KILLED),
    ("closing_its_pipes", "import os; os.closerange(3, 250)", False, _KILLED),
    ("nonsense_to_the_host", _NONSENSE, False, _KILLED),
    ("lies_to_the_host", _A_LIE, False, _FINE),
    ("sys_exit", "import sys; sys.exit(1)", False, _fails("SystemExit")),
    ("binary_output", _BINARY, False, _FINE),
    ("other_builtins", _OTHER_BUILTINS, False, {"state_lost": False}),
    (
        "no_builtins",
        "import builtins\nvars(builtins).clear()",
        False,
        {"state_lost": False},
    ),
    (
        "other_streams",
        "import sys\nsys.stdout = sys.stderr = sys.stdin = None",
        False,
        _FINE,
    ),
    (
        "other_modules",
        "import sys\nsys.modules.clear()\nsys.path.clear()",
        False,
        _FINE,
    ),
    (
        "a_value_that_cannot_be_shown",
        "class A:\n  def __repr__(self): 1/0\nA()",
        False,
        _fails("ZeroDivisionError"),
    ),
    (
        "an_error_that_cannot_be_told",
        "class E(Exception):\n  def __str__(self): raise self\nraise E",
        False,
        _fails("E"),
    ),
    ("an_enormous_value", "'x' * 100_000_000", False, _FINE),
]
"""Name, code, whether under small limits, and attributes of the result."""
