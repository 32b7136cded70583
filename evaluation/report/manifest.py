"""What it takes to get the same numbers again."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata

from evaluation.report.model import Fact
from evaluation.report.protocol import moment

PACKAGES = ("endcap", "numpy", "scipy", "polars", "torch", "onnxruntime", "faiss-cpu")


def manifest(
    *,
    data_fingerprint: str,
    cuts: Mapping[str, int],
    seeds: Mapping[str, int],
    command: str,
    code_version: str = "",
    packages: tuple[str, ...] = PACKAGES,
) -> tuple[Fact, ...]:
    """Data, cuts, seeds, code, command, package versions and the kind of machine.

    Args:
        data_fingerprint: sha256 of the imported dataset.
        cuts: name → ms.
        seeds: what was seeded → seed.
        command: that makes this report.
        code_version: commit or release of the code.
        packages: distributions whose versions matter; those not installed are left out.
    """
    facts = [
        Fact("data", data_fingerprint),
        *(Fact(f"{name} cut", f"{moment(ms)} ({ms} ms)") for name, ms in cuts.items()),
        *(Fact(f"{name} seed", str(seed)) for name, seed in seeds.items()),
        Fact("command", command),
        Fact("python", platform.python_version()),
        Fact("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"),
    ]
    if code_version:
        facts.append(Fact("code", code_version))
    for package in packages:
        try:
            facts.append(Fact(package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(facts)
