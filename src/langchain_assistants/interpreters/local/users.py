"""User ids for sessions of a root process: each has one that nobody else has."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

from langchain_assistants.errors import InterpreterError

# Free of meaning by systemd's table of users (systemd.io/UIDS-GIDS), and small enough
# for a container that maps 65,536 users.
USERS = range(60_706, 61_184)


class User:
    """A user id that is ours until it is released or this process ends.

    The claim is a socket's abstract name: the kernel hands it out once on a machine.
    """

    def __init__(self) -> None:
        """Claim a free id.

        Raises:
            InterpreterError: There is none.
        """
        for uid in random.sample(USERS, len(USERS)):
            claim = socket.socket(socket.AF_UNIX)
            with suppress(OSError):
                claim.bind(f"\0langchain-assistants-user-{uid}")
                self.uid = uid
                self._claim = claim
                return
            claim.close()
        raise InterpreterError(
            f"All {len(USERS)} users of sessions are taken; close some sessions."
        )

    def release(self) -> None:
        """Let others have the id."""
        self._claim.close()
