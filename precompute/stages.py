"""What a long run shows: a progress bar while a stage works, one line when it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class Stage:
    """A running stage: report a share in [0, 1], and in the end what was made."""

    name: str
    made: str = ""
    _bar: Progress | None = None
    _task: TaskID = field(default=TaskID(0))

    def progress(self, share: float, text: str = "") -> None:
        """Move the bar; ``text`` says what is being done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=share, note=escape(text))

    def part(self, start: float, stop: float) -> Stage:
        """A view of this stage whose 0..1 is ``start``..``stop`` of the whole."""
        return _Part(self.name, self.made, self._bar, self._task, start, stop)


@dataclass
class _Part(Stage):
    start: float = 0.0
    stop: float = 1.0

    def progress(self, share: float, text: str = "") -> None:
        super().progress(self.start + share * (self.stop - self.start), text)


@dataclass
class Stages:
    """The stages of one run, shown on a console and kept with their seconds for the report."""

    console: Console = field(default_factory=lambda: Console(highlight=False))
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage. On a terminal a bar moves; in a log only the closing line is written."""
        started = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn(f"{name:<12}"),
            BarColumn(30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        with bar:
            task = bar.add_task(name, total=1.0, note="")
            stage = Stage(name, _bar=bar, _task=task)
            yield stage
        self.seconds[name] = time.monotonic() - started
        self.console.print(f"[green]✓[/] {name:<12} {self.seconds[name]:6.1f} s  {escape(stage.made)}", soft_wrap=True)
