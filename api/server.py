"""Serves: uvicorn with uvloop and httptools, one or several worker processes on one port.

Workers are started by name (``api.server:worker``), so what they need travels in one variable of the
environment that this module writes and reads.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from functools import partial
from typing import cast

import msgspec
import uvicorn
from threadpoolctl import threadpool_limits

from api.http import ASGIApp
from api.http_protocol import BoundedHttp
from api.settings import ServeSettings
from foundation.telemetry import MULTIPROCESS

_HANDED_OVER = "ENDCAP_WORKER"


def serve(settings: ServeSettings) -> None:
    """Serve a home folder until SIGTERM or SIGINT; then finish open requests and return."""
    api = settings.api
    os.environ[_HANDED_OVER] = msgspec.json.encode(settings).decode()
    # One thread a worker in every numeric library: more only fight over the cores that other workers have. The
    # variable is for what is loaded from now on; what is loaded already, ``worker`` tells.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="endcap-metrics-") as metrics:
        if api.workers > 1:
            os.environ[MULTIPROCESS] = metrics
        try:
            uvicorn.run(
                "api.server:worker",
                factory=True,
                host=api.host,
                port=api.port,
                workers=api.workers,
                loop="uvloop",
                http=cast("type[asyncio.Protocol]", partial(BoundedHttp, header_limit=api.header_limit)),
                lifespan="on",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=api.drain_s,
            )
        finally:
            os.environ.pop(_HANDED_OVER, None)
            os.environ.pop(MULTIPROCESS, None)


def worker() -> ASGIApp:
    """One worker's application; uvicorn calls it in each process."""
    from api.wiring import application  # after MULTIPROCESS is set

    threadpool_limits(1)
    return application(msgspec.json.decode(os.environ[_HANDED_OVER], type=ServeSettings))
