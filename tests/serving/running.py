"""A server in a process of its own, as users start it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What a server answered: the status, the headers, and the body, read as JSON if it is."""

    status: int
    headers: dict[str, str]
    body: Any


class Running:
    """`lit-textclf serve` on a free port of this machine.

    Args:
        options: of the command, besides the port.
        environment: variables to set.
    """

    def __init__(self, *options: str, **environment: str) -> None:
        self.log: list[str] = []
        command = [sys.executable, "-m", "lit_textclf", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
        self._ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"serving .* at (http://\S+)/", line):
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    def __enter__(self) -> Running:
        assert self._ready.wait(120), self.log
        assert self.url, self.log
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """Ends the server as systemd and Docker do; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def request(self, path: str, content: Any = None, body: bytes | None = None, **headers: str) -> Reply:
        """GETs a path, or POSTs content as JSON, or a body as it is."""
        data = json.dumps(content).encode() if content is not None else body
        sent = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(sent, timeout=60) as answer:
                found = answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                found = error.code, dict(error.headers), error.read()
        try:
            return Reply(found[0], found[1], json.loads(found[2]))
        except ValueError:
            return Reply(found[0], found[1], found[2].decode())
