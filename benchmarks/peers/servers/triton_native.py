"""Triton itself: lays out a model repository and becomes the ``tritonserver`` of the ``nvidia-pytriton`` wheel.

Its Python stub must find the libpython of this interpreter: with another one of the system on the path
it dies at start, so ``LD_LIBRARY_PATH`` begins with the interpreter's own folder.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent


def repository(folder: Path, workload: str) -> Path:
    """A model repository with one model; returns its root."""
    model = folder / "triton" / "ranker"
    (model / "1").mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "triton" / f"{workload}.pbtxt", model / "config.pbtxt")
    shutil.copy(HERE / "triton" / "model.py", model / "1" / "model.py")
    return model.parent


def main() -> None:
    """Replace this process by the server."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise SystemExit("nvidia-pytriton is not installed; run: benchmarks/peers/install.sh triton")
    package = Path(spec.origin).parent
    home = package / "tritonserver"
    stub = home / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    backend = home / "backends" / "python"
    if not (backend / "triton_python_backend_stub").exists():
        shutil.copy(stub / "triton_python_backend_stub", backend)
    port, folder = int(os.environ["PEER_PORT"]), Path(os.environ["PEER_FOLDER"])
    libraries = [sysconfig.get_config_var("LIBDIR"), str(package.parent / "nvidia_pytriton.libs")]
    environ = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(package.parent)]),
    }
    arguments = {
        "model-repository": repository(folder, os.environ["PEER_WORKLOAD"]),
        "backend-directory": home / "backends",
        "http-port": port,
        "http-address": "127.0.0.1",
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
    }
    server = str(home / "bin" / "tritonserver")
    os.execve(server, [server, *(f"--{name}={value}" for name, value in arguments.items())], environ)  # noqa: S606


if __name__ == "__main__":
    main()
