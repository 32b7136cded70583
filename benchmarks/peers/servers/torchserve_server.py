"""TorchServe, archived upstream in 2025, on Java 17: packs the handler, configures, becomes its front end.

``PEER_VARIANT=single`` takes one request at a time; else batches wait 1 ms, its shortest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def configure(folder: Path, port: int, batch: int) -> Path:
    """Pack the model and write ``config.properties``; returns its path."""
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    settings = store / "model.yaml"
    settings.write_text(f"minWorkers: 1\nmaxWorkers: 1\nbatchSize: {batch}\nmaxBatchDelay: 1\n", encoding="utf-8")
    packing = ["--model-name", "ranker", "--version", "1", "--handler", str(HERE / "torchserve" / "handler.py")]
    packing += ["--export-path", str(store), "--config-file", str(settings), "--force"]
    code = "from model_archiver.model_packaging import generate_model_archive as pack; pack()"
    subprocess.run([sys.executable, "-c", code, *packing], check=True)
    path = store / "config.properties"
    lines = {
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{port + 1}",
        "metrics_address": f"http://127.0.0.1:{port + 2}",
        "model_store": store,
        "load_models": "ranker.mar",
        "job_queue_size": 256,
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "vmargs": f"-Dlog4j2.configurationFile=file://{HERE / 'torchserve' / 'log4j2.xml'}",
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
    return path


def main() -> None:
    """Replace this process by the server."""
    from common import MAX_BATCH  # loads torch, which the packing above does without

    batch = 1 if os.environ.get("PEER_VARIANT") == "single" else MAX_BATCH
    path = configure(Path(os.environ["PEER_FOLDER"]), int(os.environ["PEER_PORT"]), batch)
    environ = {**os.environ, "PYTHONPATH": str(HERE), "TEMP": str(path.parent), "LOG_LOCATION": str(path.parent)}
    code = "from ts.model_server import start; start()"
    start = ["--start", "--foreground", "--ncs", "--disable-token-auth", "--ts-config", str(path)]
    os.execve(sys.executable, [sys.executable, "-c", code, *start], environ)  # noqa: S606


if __name__ == "__main__":
    main()
