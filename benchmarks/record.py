"""What every result says of itself: the machine, versions, commit and command that it came from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def provenance(packages: Iterable[str] = (), checkout: Path = ROOT) -> dict[str, Any]:
    """Machine, versions, commit, command and the load when it is called; call it before measuring.

    Args:
        packages: whose versions matter for the question.
        checkout: the tree that is measured.
    """
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return {
        "machine": {"cpu": _cpu(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "command": " ".join(["python", *sys.argv]),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def write_result(out: Path, question: str, origin: Mapping[str, Any], **results: object) -> None:
    """Write a result file: the question, where the answer comes from, the answer."""
    told = {"question": question, **origin, **results}
    out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _cpu() -> str:
    """The processor's name; on Linux the one that it sells under."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
