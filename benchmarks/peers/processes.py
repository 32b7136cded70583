"""A server with all its processes: start it, read its CPU time and memory, end it.

Servers here fork, detach and start Java, so descent does not find them all. Each gets a mark in its
environment that children inherit, and whoever carries the mark belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2  # of a whole process by its id: what clock_getcpuclockid(3) makes on Linux
_MARK = "PEER_MARK"
_PATIENCE_S = 8.0
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Server:
    """One server under test, as a context manager: started on entry, gone on exit with every child."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        """Prepare.

        Args:
            command: the program and its arguments.
            environ: its whole environment; the mark is added.
            log: where stdout and stderr go.
        """
        self._command = list(command)
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        self._environ = {**environ, name: value}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Started, not necessarily ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Asked to end; then it and whatever it left behind is made to."""
        assert self._process is not None
        self._signal([self._process.pid], signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        while left := self.pids():
            self._signal(left, signal.SIGKILL)
            time.sleep(0.05)
        self._process.wait()

    @property
    def ended(self) -> bool:
        """The program that was started has ended."""
        return self._process is not None and self._process.poll() is not None

    def told(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def pids(self) -> list[int]:
        """Every process that carries the mark and is not a zombie."""
        wanted = self._mark.encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    if wanted in folder.joinpath("environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def cpu_seconds(self, pids: Sequence[int]) -> float:
        """User and system time of these processes, and of their children that ended, so far.

        A live process is asked by its CPU clock, to the nanosecond: ``/proc`` counts ticks of 10 ms, too coarse
        for a short cell. What children that ended left is only there.
        """
        total = 0.0
        for pid in pids:
            with contextlib.suppress(OSError):
                total += time.clock_gettime((~pid << 3) | _CPU_CLOCK)
                fields = (
                    Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                )
                total += _TICK_S * sum(int(value) for value in fields[13:15])
        return total

    def memory_mb(self, pids: Sequence[int]) -> float:
        """Proportional set size: pages that processes share count once."""
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError):
                if found := _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")):
                    total += int(found[1])
        return total / 1024

    @staticmethod
    def _signal(pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
