"""Who is compared: how each server is started and how it is spoken to."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.wires import (
    Base64,
    Candidates,
    Ids,
    Lists,
    OpenInferenceRank,
    OpenInferenceTensor,
    RankWire,
    Raw,
    Surface,
    TensorWire,
)

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers"
ENVIRONMENTS = HERE / ".environments"
OURS = ""  # the environment that runs the driver


@dataclass(frozen=True)
class Contender:
    """One server in one configuration."""

    name: str
    environment: str  # a folder of ENVIRONMENTS, or OURS
    script: str = ""  # a file of SERVERS; '' for the product itself
    module: tuple[str, ...] = ()  # in place of a script: python -m with these arguments
    variant: str = ""
    tensor: TensorWire | None = None
    rank: RankWire | None = None
    recommend: RankWire | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    distribution: str = ""  # whose version is told
    own_model: bool = False  # it ranks with its release's model, so its order is not the reference's

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Its environment is there."""
        return self.python.exists()

    def wire(self, workload: str) -> TensorWire | RankWire | None:
        """How it is asked for a workload; None if it does not serve that."""
        wires: dict[str, TensorWire | RankWire | None] = {
            "tensor": self.tensor,
            "rank": self.rank,
            "recommend": self.recommend,
        }
        return wires[workload]

    def command(self, port: int, workload: str, home: Path | None) -> list[str]:
        """What to run."""
        if self.own_model:
            return [str(self.python), "-m", "api", str(home)]
        if self.module:
            arguments = [part.format(port=port, workload=workload, Workload=workload.title()) for part in self.module]
            return [str(self.python), "-m", *arguments]
        return [str(self.python), str(SERVERS / self.script)]

    def environ(self, folder: Path, port: int, workload: str) -> dict[str, str]:
        """One thread in every numeric library: requests are the parallelism, for each server alike."""
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "JAVA_HOME", "TMPDIR") if name in os.environ
        }
        return {
            **kept,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONPATH": str(SERVERS),
            "PYTHONWARNINGS": "ignore",
            "PEER_FOLDER": str(folder),
            "PEER_PORT": str(port),
            "PEER_WORKLOAD": workload,
            "PEER_VARIANT": self.variant,
            "ENDCAP_API_PORT": str(port),
            **self.variables,
        }


# A caller's 150 ms would make Endcap drop a rung where its peers let one wait; here it waits as they do.
_PATIENT = {"ENDCAP_API_DEADLINE_MS": "60000", "ENDCAP_API_STORE_DEADLINE_MS": "60000"}
_BENTO = ("bentoml", "serve", "bentoml_{workload}:{Workload}", "--port", "{port}", "--host", "127.0.0.1")
_QUIET = {"BENTOML_DO_NOT_TRACK": "True"}

CONTENDERS = (
    Contender("Endcap's batcher, raw ASGI", OURS, "ours_tensor.py", tensor=Raw("/"), distribution="torch"),
    Contender(
        "Endcap's batcher, raw ASGI, ONNX Runtime",
        OURS,
        "ours_tensor.py",
        variant="onnx",
        tensor=Raw("/"),
        distribution="onnxruntime",
    ),
    Contender(
        "Endcap",
        OURS,
        rank=Ids("/v1/rank"),
        recommend=Surface(),
        variables=_PATIENT,
        distribution="endcap",
        own_model=True,
    ),
    Contender(
        "Triton (native)",
        "triton",
        "triton_native.py",
        tensor=OpenInferenceTensor(),
        rank=OpenInferenceRank(),
        distribution="nvidia-pytriton",
    ),
    Contender("PyTriton", "triton", "pytriton_server.py", tensor=OpenInferenceTensor(), distribution="nvidia-pytriton"),
    Contender(
        "mosec", "mosec", "mosec_server.py", tensor=Raw("/inference"), rank=Ids("/inference"), distribution="mosec"
    ),
    Contender(
        "mosec, unbatched",
        "mosec",
        "mosec_server.py",
        variant="single",
        tensor=Raw("/inference"),
        rank=Ids("/inference"),
        distribution="mosec",
    ),
    Contender(
        "FastAPI, naive",
        "fastapi",
        "fastapi_naive.py",
        tensor=Lists("/tensor"),
        rank=Ids("/rank"),
        recommend=Candidates("/recommend"),
        distribution="fastapi",
    ),
    Contender(
        "FastAPI, careful, threads",
        "fastapi",
        "fastapi_careful.py",
        tensor=Raw("/tensor"),
        rank=Ids("/rank"),
        recommend=Candidates("/recommend"),
        distribution="fastapi",
    ),
    Contender(
        "FastAPI, careful, inline",
        "fastapi",
        "fastapi_careful.py",
        variant="inline",
        tensor=Raw("/tensor"),
        rank=Ids("/rank"),
        recommend=Candidates("/recommend"),
        distribution="fastapi",
    ),
    Contender(
        "Ray Serve",
        "ray",
        "ray_serve.py",
        tensor=Raw("/"),
        rank=Ids("/"),
        distribution="ray",
        variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Contender(
        "LitServe",
        "litserve",
        "litserve_server.py",
        tensor=Base64("/predict"),
        rank=Ids("/predict"),
        distribution="litserve",
    ),
    Contender(
        "BentoML",
        "bentoml",
        module=_BENTO,
        tensor=Base64("/score", batched=True),
        rank=Ids("/rank"),
        distribution="bentoml",
        variables=_QUIET,
    ),
    Contender(
        "TorchServe",
        "torchserve",
        "torchserve_server.py",
        tensor=Raw("/predictions/ranker"),
        rank=Ids("/predictions/ranker"),
        distribution="torchserve",
    ),
    Contender(
        "TorchServe, unbatched",
        "torchserve",
        "torchserve_server.py",
        variant="single",
        tensor=Raw("/predictions/ranker"),
        rank=Ids("/predictions/ranker"),
        distribution="torchserve",
    ),
)
