"""The API as it runs for a shop: a process of its own over a home folder, to be asked, killed and started again."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

_LOOK_S = 0.02  # between two looks at something that another process does


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until(what: str, holds: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Look until it holds.

    Raises:
        TimeoutError: it did not within ``patience_s``; names ``what``.
    """
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:g} s in vain: {what}")
        time.sleep(_LOOK_S)


class ServedApi:
    """``python -m api HOME``, or another command that ends up as it, in a process group of its own."""

    def __init__(
        self,
        home: Path,
        log: Path,
        settings: Mapping[str, object] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Prepare; nothing runs before ``start``.

        Args:
            home: the folder with a release.
            log: where the process writes; appended to over restarts.
            settings: variables without their prefix, as ``{"API_WORKERS": 2}``.
            command: None serves ``home``.
        """
        self.home = home
        self.port = free_port()
        self.log = log
        self._command = list(command or (sys.executable, "-m", "api", str(home)))
        given = {f"ENDCAP_{name}": str(value) for name, value in (settings or {}).items()}
        self._environ = {**os.environ, "ENDCAP_HOME_PATH": str(home), "ENDCAP_API_PORT": str(self.port), **given}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started; workers are its children."""
        assert self._process is not None  # noqa: S101 (asked of a server that was started)
        return self._process.pid

    def start(self) -> Self:
        """Start and wait until a release is in service.

        Raises:
            RuntimeError: the process ended; its last lines are told.
            TimeoutError: no release within a minute.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own program, or the caller's)
                self._command, env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        wait_until("the API is ready", self._is_ready)
        return self

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET over a connection of its own, so that any worker may answer.

        Raises:
            OSError: nobody answers.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Status and JSON of a POST; see ``get``."""
        return self._ask("POST", path, msgspec.json.encode(body))

    def release(self) -> str:
        """The version in service."""
        version: str = self.get("/readyz")[1]["release"]
        return version

    def wait_for_release(self, version: str) -> None:
        """Wait until a version is in service; with several workers, in the one that happens to answer."""
        wait_until(f"release {version} is in service", lambda: self.release() == version)

    def kill(self) -> None:
        """``kill -9``: to every process of the group at once; returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def __enter__(self) -> Self:
        """Started."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gone, whatever state it was in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None  # noqa: S101 (asked of a server that was started)
        os.killpg(self._process.pid, number)
        return self._process.wait(60)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, msgspec.json.decode(raw) if is_json else raw

    def _is_ready(self) -> bool:
        if self._process is not None and (status := self._process.poll()) is not None:
            told = self.log.read_text(errors="replace").splitlines()[-20:]
            raise RuntimeError("\n".join([f"the API ended with status {status}", *told]))
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
