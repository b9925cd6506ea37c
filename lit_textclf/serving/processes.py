"""What the server's child processes do when signals come and when the server dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def depend_on_the_server() -> None:
    """Lets this child process end when the server ends, however it does, and not by signals for all of its processes.

    Ctrl-C, and systemd when it stops a service, signal the children too, which still have accepted requests to answer.
    """
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_server, name="server-watch", daemon=True).start()


def _end_with_the_server() -> None:
    server = multiprocessing.parent_process()
    assert server is not None
    server.join()
    os._exit(1)
