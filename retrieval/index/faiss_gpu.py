"""FAISS on a GPU: half-precision Flat, IVF, and CAGRA (Ootomo et al. 2024) where the wheel has cuVS.

What is written is what a CPU index would write, so that a release does not depend on the device.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.errors import EndcapError, MissingExtra
from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex, padding
from retrieval.index.faiss_ivf import FaissIvf
from retrieval.index.faiss_library import import_faiss, one_thread
from retrieval.index.lengths import pad

MAX_K = 2048  # neighbours, and lists of a query, that FAISS's GPU selection can hold
_DEVICE = 0


class NoGpu(MissingExtra):
    """The installed FAISS cannot use a GPU, or there is none."""

    def __init__(self, reason: str) -> None:
        EndcapError.__init__(
            self,
            f"{reason}; run: pip uninstall -y faiss-cpu, then pip install 'endcap[gpu]' on a machine whose driver "
            "nvidia-smi shows, or choose another index (channels.index_backend)",
        )


def import_faiss_gpu() -> Any:
    """The library, on a machine where it can use a GPU.

    Raises:
        MissingExtra: it is not installed, two of its wheels are, it is the CPU wheel, or there is no GPU.
    """
    faiss = import_faiss("gpu")
    if not hasattr(faiss, "StandardGpuResources"):
        raise NoGpu("this FAISS is the CPU wheel")
    if not faiss.get_num_gpus():
        raise NoGpu("FAISS finds no GPU")
    return faiss


class Device:
    """One GPU's working memory, and searches of indexes that lie there, one at a time.

    FAISS's GPU indexes are not safe to search from several threads, so that searches take turns. They
    take no mask either: FAISS has ignored selectors on GPUs without a word.
    """

    def __init__(self) -> None:
        self.faiss: Any = import_faiss_gpu()
        self.resources: Any = self.faiss.StandardGpuResources()
        self._turn = threading.Lock()

    def search(self, index: Any, queries: Floats, k: int, parameters: Any) -> tuple[Int32s, Floats]:
        """(B, k) rows and inner products; nothing for more than the device can select, so that the CPU compares."""
        if k > MAX_K:
            return padding(len(queries), k)
        with self._turn:
            one_thread(self.faiss)
            scores, rows = index.search(queries, k, params=parameters)
        return rows.astype(np.int32), np.where(rows < 0, np.float32(-np.inf), scores)


class FaissGpuFlat(BaseIndex):
    """Every vector compared, in half precision."""

    FILE: ClassVar[str] = ""

    def _build(self, data: Floats) -> None:
        self._device = device = Device()
        options = device.faiss.GpuIndexFlatConfig()
        options.device, options.useFloat16 = _DEVICE, True
        self._index = device.faiss.GpuIndexFlatIP(device.resources, self.dim, options)
        self._index.add(np.ascontiguousarray(data))

    def _open(self, _path: Path, /) -> None:
        self._build(self.vectors)

    def _write(self, path: Path) -> None:
        """See ``BaseIndex``: the vectors are all it needs."""

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return int(self._index.ntotal), int(self._index.d)

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, _effort: float, /) -> tuple[Int32s, Floats]:
        return self._device.search(self._index, queries, k, None)


class FaissGpuIvf(FaissIvf):
    """The lists of ``FaissIvf``, built and written by it, searched on the device."""

    @property
    def selects(self) -> bool:
        """See ``Device``."""
        return False

    def _build(self, data: Floats) -> None:
        self._device = Device()
        super()._build(data)
        self._place()

    def _open(self, path: Path) -> None:
        self._device = Device()
        super()._open(path)
        self._place()

    def _place(self) -> None:
        faiss = self._device.faiss
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        self._placed = faiss.index_cpu_to_gpu(self._device.resources, _DEVICE, self._index, options)

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        probes = min(math.ceil(self.spec.nprobe * effort), int(self._index.nlist), MAX_K)
        parameters = self._device.faiss.SearchParametersIVF(nprobe=probes)
        return self._device.search(self._placed, pad(queries, self._width), k, parameters)


class FaissGpuCagra(BaseIndex):
    """A graph made for GPUs; written as the HNSW graph that a CPU could walk too."""

    FILE: ClassVar[str] = "index.faiss"
    BREADTH: ClassVar[str] = "ef_search"
    NEEDS_UNIT: ClassVar[bool] = True

    def _build(self, data: Floats) -> None:
        self._index = self._empty()
        self._index.train(np.ascontiguousarray(data))

    def _open(self, path: Path) -> None:
        self._index = self._empty()
        self._index.copyFrom(self._device.faiss.read_index(str(path)))

    def _empty(self) -> Any:
        self._device = device = Device()
        if not hasattr(device.faiss, "GpuIndexCagra"):
            raise NoGpu("this FAISS wheel has no cuVS and so no CAGRA")
        options = device.faiss.GpuIndexCagraConfig()
        options.device, options.graph_degree = _DEVICE, 2 * self.spec.m
        metric = device.faiss.METRIC_INNER_PRODUCT
        return device.faiss.GpuIndexCagra(device.resources, self.held_dim, metric, options)

    def _write(self, path: Path) -> None:
        graph = self._device.faiss.IndexHNSWCagra()
        self._index.copyTo(graph)
        self._device.faiss.write_index(graph, str(path))

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        return int(self._index.ntotal), int(self._index.d)

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        breadth = max(math.ceil(self.spec.ef_search * effort), k)
        parameters = self._device.faiss.SearchParametersCagra(itopk_size=breadth)
        return self._device.search(self._index, queries, k, parameters)
