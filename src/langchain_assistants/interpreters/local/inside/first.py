"""The first process of a namespace: it buries what others leave, and nothing else."""

from __future__ import annotations

import os
import signal

from .confinement import Confinement
from .kernel import close_from


def stay_behind(confinement: Confinement) -> None:
    """Go on in a child; stay behind as its parent, and end as it ends.

    Code could change the memory of bubblewrap's own first process, which has neither
    its filter nor its limits; this one has both, and its memory is out of reach. As
    root it does not become the code's user: bubblewrap, which has no rights left, could
    not take it along when it dies.
    """
    os.setpgid(0, 0)  # signals to the own group must not reach bubblewrap
    waiting, confined = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(confined)
        os.read(waiting, 1)  # it ends when the parent is confined, or dead with all
        os.close(waiting)
        return
    confinement.enter(is_first=True)
    os.dup2(0, 2)  # it was a file of the host's, which code could open in /proc
    close_from(3)
    # A signal without a handler does not reach the first process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        pid, status = os.wait()
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)  # a signal, as shells tell it
