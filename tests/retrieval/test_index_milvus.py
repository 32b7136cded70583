"""Milvus keeps the laws, embedded here (milvus-lite) as in a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from foundation.errors import ConfigError, MissingExtra, ReleaseDamaged
from foundation.testing.index_laws import IndexLaws, unit_vectors
from foundation.types import Floats
from retrieval.index import IndexSpec, VectorIndex, build_index, load_index
from retrieval.index.milvus import MilvusIndex

pytest.importorskip("milvus_lite", reason="milvus-lite is not installed; run: pip install milvus-lite")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One embedded Milvus for the file: starting it takes seconds."""
    TestMilvus.spec = IndexSpec(backend="milvus", uri=str(tmp_path_factory.mktemp("milvus") / "shop.db"))
    return TestMilvus.spec.uri


class TestMilvus(IndexLaws):
    """A graph in another process."""

    spec: ClassVar[IndexSpec]
    least_recall, least_raw_recall, score_error = 0.95, 0.9, 1e-4

    @classmethod
    def build(cls, vectors: Floats) -> VectorIndex:
        """By the registry."""
        return build_index(vectors, cls.spec)

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> VectorIndex:
        """Whatever the folder holds."""
        return load_index(folder, vectors)


def test_a_repeated_build_finds_it_done(uri: str) -> None:
    """Equal vectors are one collection; a half-filled one of the same name is made again."""
    vectors = unit_vectors(4, 400, 8)
    spec = IndexSpec(backend="milvus", uri=uri)
    first = build_index(vectors, spec)
    assert isinstance(first, MilvusIndex)
    before = first._client.list_collections()
    assert build_index(vectors, spec).search(vectors[:3], 2)[0][:, 0].tolist() == [0, 1, 2]
    first._client.delete(first._collection, ids=[0, 1])
    first._client.flush(first._collection)
    assert build_index(vectors, spec).search(vectors[:3], 2)[0][:, 0].tolist() == [0, 1, 2]
    assert first._client.list_collections() == before


def test_a_release_whose_collection_is_gone_is_refused(uri: str, tmp_path: Path) -> None:
    """The error names the collection."""
    vectors = unit_vectors(5, 100, 8)
    index = build_index(vectors, IndexSpec(backend="milvus", uri=uri))
    assert isinstance(index, MilvusIndex)
    index.save(tmp_path)
    index._client.drop_collection(index._collection)
    with pytest.raises(ReleaseDamaged, match=index._collection):
        load_index(tmp_path, vectors)


def test_more_than_milvus_answers_is_compared_exactly(uri: str) -> None:
    """Above 16,384 neighbours the answer is the exact one."""
    vectors = unit_vectors(6, 16_400, 4)
    index = MilvusIndex(IndexSpec(backend="milvus", uri=uri), vectors)
    rows, _ = index.search(vectors[:1], 16_390)
    np.testing.assert_array_equal(rows, build_index(vectors).search(vectors[:1], 16_390)[0])


def test_no_address_and_no_client_say_what_to_do(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty address names the setting, a missing client the extra."""
    with pytest.raises(ConfigError, match=r"channels\.milvus_uri"):
        build_index(unit_vectors(1, 9, 4), IndexSpec(backend="milvus"))
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtra, match=r"endcap\[milvus\]"):
        build_index(unit_vectors(1, 9, 4), IndexSpec(backend="milvus", uri="elsewhere.db"))
