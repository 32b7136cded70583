"""FAISS on a GPU: its laws and its CPU twin where there is one, its refusals where there is none."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from foundation.errors import InvalidInput, MissingExtra
from foundation.testing.index_laws import IndexLaws, unit_vectors
from foundation.types import Floats, Int64s
from retrieval.index import IndexSpec, VectorIndex, build_index, faiss_gpu, load_index


def _without() -> str:
    """Why nothing can run on a GPU here; "" where it can."""
    try:
        faiss_gpu.import_faiss_gpu()
    except MissingExtra as error:
        return str(error)
    return ""


needs_gpu = pytest.mark.skipif(bool(_without()), reason=_without() or "there is one")
needs_cuvs = pytest.mark.skipif(
    not hasattr(sys.modules.get("faiss"), "GpuIndexCagra"), reason="this FAISS wheel has no CAGRA"
)


class GpuLaws(IndexLaws):
    """The laws of every index, on the device."""

    __test__ = False
    spec: ClassVar[IndexSpec]
    least_recall, least_raw_recall, score_error = 0.9, 0.85, 1e-3

    @classmethod
    def build(cls, vectors: Floats) -> VectorIndex:
        """By the registry."""
        return build_index(vectors, cls.spec)

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> VectorIndex:
        """Whatever the folder holds."""
        return load_index(folder, vectors)


@needs_gpu
class TestGpuFlat(GpuLaws):
    """Every vector compared."""

    __test__ = True
    spec, least_recall = IndexSpec(backend="faiss-gpu-flat"), 0.99


@needs_gpu
class TestGpuIvf(GpuLaws):
    """Lists."""

    __test__ = True
    spec = IndexSpec(backend="faiss-gpu-ivf", lists=16, nprobe=6)


@needs_gpu
@needs_cuvs
class TestGpuCagra(GpuLaws):
    """A graph."""

    __test__ = True
    spec = IndexSpec(backend="faiss-gpu-cagra")


@needs_gpu
@pytest.mark.parametrize(("on_gpu", "twin"), [("faiss-gpu-flat", "faiss-codes"), ("faiss-gpu-ivf", "faiss-ivf")])
def test_device_and_processor_agree(on_gpu: str, twin: str) -> None:
    """The same half-precision vectors give the same scores, and the same rows but for ties in the last digits."""
    vectors = unit_vectors(7, 20_000, 64)
    found = [build_index(vectors, IndexSpec(backend=name)).search(vectors[:64], 200) for name in (on_gpu, twin)]
    np.testing.assert_allclose(found[0][1], found[1][1], atol=2e-3)
    assert np.mean([len(np.intersect1d(*pair)) / 200 for pair in zip(found[0][0], found[1][0], strict=True)]) > 0.99


@pytest.mark.parametrize("backend", ["faiss-gpu-flat", "faiss-gpu-ivf", "faiss-gpu-cagra"])
@pytest.mark.parametrize(("gpus", "told"), [(None, "CPU wheel"), (0, "no GPU")])
def test_without_a_gpu_the_error_says_what_to_do(
    backend: str, gpus: int | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU wheel, or the GPU wheel without a device, names both ways out."""
    faiss: Any = types.ModuleType("faiss")
    if gpus is not None:
        faiss.StandardGpuResources, faiss.get_num_gpus = object, lambda: gpus
    monkeypatch.setattr(faiss_gpu, "import_faiss", lambda _: faiss)
    with pytest.raises(MissingExtra, match=rf"{told}.*endcap\[gpu\].*index_backend"):
        build_index(unit_vectors(1, 50, 8), IndexSpec(backend=backend))


class FakeGpuFaiss(types.ModuleType):
    """The half of FAISS's GPU interface that Flat uses, in NumPy; it ignores selectors, as the real one did."""

    def __init__(self) -> None:
        super().__init__("faiss")
        self.StandardGpuResources = object
        self.GpuIndexFlatConfig = types.SimpleNamespace
        self.asked: list[int] = []

    def get_num_gpus(self) -> int:
        """One."""
        return 1

    def omp_set_num_threads(self, _: int) -> None:
        """Of no consequence here."""

    def GpuIndexFlatIP(self, _: object, dim: int, options: Any) -> Any:  # noqa: N802 - FAISS's name
        """An index that refuses what the device would."""
        assert options.useFloat16
        held: list[Floats] = []

        def search(queries: Floats, k: int, params: object) -> tuple[Floats, Int64s]:
            assert k <= 2048
            assert params is None
            self.asked.append(k)
            scores = queries @ held[0].T
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(scores, order, axis=1), order

        return types.SimpleNamespace(add=held.append, search=search, ntotal=3_000, d=dim)


def test_what_the_device_cannot_do_is_not_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 2,048 neighbours the processor compares; a mask, which a GPU would ignore, is refused."""
    fake = FakeGpuFaiss()
    monkeypatch.setattr(faiss_gpu, "import_faiss", lambda _: fake)
    vectors = unit_vectors(3, 3_000, 8)
    index = build_index(vectors, IndexSpec(backend="faiss-gpu-flat"))
    for k in (2_048, 2_049):
        expected = build_index(vectors).search(vectors[:2], k)
        np.testing.assert_array_equal(index.search(vectors[:2], k)[0], expected[0])
    assert fake.asked == [2_048]
    with pytest.raises(InvalidInput, match="cannot keep to a mask"):
        index.search(vectors[:2], 5, np.ones(3_000, np.bool_))
