"""Serves: uvicorn with uvloop and httptools, one or several worker processes on one port.

Workers are started by name (``api.server:worker``), so what they need travels in one variable of the
environment that this module writes and reads.
"""

from __future__ import annotations

import os
import tempfile

import msgspec
import uvicorn

from api.http import ASGIApp
from api.settings import ApiSettings
from edge.headers import HeaderSettings
from edge.reader import ReaderSettings
from foundation.home import HomeSettings
from foundation.telemetry import MULTIPROCESS

_HANDED_OVER = "ENDCAP_WORKER"


class _Handover(msgspec.Struct):
    """What a worker needs to know."""

    home: HomeSettings
    api: ApiSettings
    headers: HeaderSettings
    edge_reader: ReaderSettings


def serve(
    home: HomeSettings,
    settings: ApiSettings,
    headers: HeaderSettings,
    edge_reader: ReaderSettings,
) -> None:
    """Serve a home folder until SIGTERM or SIGINT; then finish open requests and return.

    Args:
        home: where releases, store, stream and edge objects are.
        settings: where to listen, how many workers, limits.
        headers: ages for caches.
        edge_reader: what each worker remembers of the edge.
    """
    handover = _Handover(home, settings, headers, edge_reader)
    os.environ[_HANDED_OVER] = msgspec.json.encode(handover).decode()
    # Models run one thread a worker: more only fight over the cores that other workers have.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="endcap-metrics-") as metrics:
        if settings.workers > 1:
            os.environ[MULTIPROCESS] = metrics
        try:
            uvicorn.run(
                "api.server:worker",
                factory=True,
                host=settings.host,
                port=settings.port,
                workers=settings.workers,
                loop="uvloop",
                http="httptools",
                lifespan="on",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=settings.drain_s,
            )
        finally:
            os.environ.pop(_HANDED_OVER, None)
            os.environ.pop(MULTIPROCESS, None)


def worker() -> ASGIApp:
    """One worker's application; uvicorn calls it in each process."""
    from api.wiring import application  # after MULTIPROCESS is set

    handed = msgspec.json.decode(os.environ[_HANDED_OVER], type=_Handover)
    return application(handed.home, handed.api, handed.headers, handed.edge_reader)
