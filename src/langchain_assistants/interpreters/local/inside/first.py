"""The first process of a namespace: it buries what others leave, and nothing else."""

from __future__ import annotations

import os
import signal


def stay_behind() -> None:
    """Go on in a child; stay behind as its parent, and end as it ends.

    Code could change the memory of bubblewrap's own first process, which has neither
    its filter nor its limits; this one has both.
    """
    worker = os.fork()
    if worker == 0:
        return
    os.dup2(0, 2)  # it was a file of the host's, which code could open in /proc
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # A signal without a handler does not reach the first process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        pid, status = os.wait()
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)  # a signal, as shells tell it
