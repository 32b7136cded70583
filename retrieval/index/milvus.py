"""Milvus: for catalogues that outgrow a machine. The vectors live in a cluster, the release names the collection.

The same client talks to a cluster (``http://host:19530``) and to the embedded milvus-lite (a path that
ends in ``.db``), which one process at a time can open.
"""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundation.errors import ConfigError, MissingExtra, StoreUnavailable
from foundation.types import Bools, Floats, Int32s
from retrieval.index.base import BaseIndex, padding

MAX_K = 16_384  # neighbours that Milvus answers
_CHUNK = 10_000  # vectors of one insertion
_connecting = threading.Lock()


class MilvusIndex(BaseIndex):
    """An HNSW graph over inner products of unit vectors; those of other lengths are augmented first.

    Equal vectors and parameters give the same collection, so that a repeated build finds it done.
    """

    FILE: ClassVar[str] = "collection.txt"
    BREADTH: ClassVar[str] = "ef_search"
    NEEDS_UNIT: ClassVar[bool] = True

    _collection: str

    @property
    def _client(self) -> Any:
        return client(self.spec.uri, self.spec.token_file)

    def _build(self, data: Floats) -> None:
        self._collection = f"endcap_{self._fingerprint(data)}"
        if self._client.has_collection(self._collection):
            if self.held() == data.shape:
                return
            self._client.drop_collection(self._collection)  # a build that was killed
        self._create(data.shape[1])
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            rows = [{"row": start + at, "vector": vector} for at, vector in enumerate(part)]
            self._client.insert(self._collection, rows)
        self._client.flush(self._collection)
        self._client.load_collection(self._collection)

    def _create(self, dim: int) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        index = MilvusClient.prepare_index_params()
        graph = {"M": self.spec.m, "efConstruction": self.spec.ef_construction}
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        self._client.create_collection(self._collection, schema=schema, index_params=index)

    def _fingerprint(self, data: Floats) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(data).tobytes())
        digest.update(f"{data.shape} {self.spec.m} {self.spec.ef_construction}".encode())
        return digest.hexdigest()[:32]

    def _open(self, path: Path) -> None:
        self._collection = path.read_text(encoding="utf-8").strip()
        if not self._client.has_collection(self._collection):
            raise ValueError(f"Milvus at {self.spec.uri} has no collection {self._collection}")
        self._client.load_collection(self._collection)

    def _write(self, path: Path) -> None:
        path.write_text(self._collection + "\n", encoding="utf-8")

    def held(self) -> tuple[int, int]:
        """See ``BaseIndex``."""
        fields = self._client.describe_collection(self._collection)["fields"]
        dim = next(field["params"]["dim"] for field in fields if field["name"] == "vector")
        return int(self._client.get_collection_stats(self._collection)["row_count"]), int(dim)

    def _nearest(self, queries: Floats, k: int, _allowed: Bools | None, effort: float, /) -> tuple[Int32s, Floats]:
        rows, scores = padding(len(queries), k)
        if k > MAX_K:
            return rows, scores  # what is short is compared exactly
        breadth = max(round(self.spec.ef_search * effort), k)
        answers = self._client.search(
            self._collection,
            data=list(queries),
            anns_field="vector",
            limit=k,
            search_params={"metric_type": "IP", "params": {"ef": breadth}},
        )
        for query, hits in enumerate(answers):
            rows[query, : len(hits)] = [hit["row"] for hit in hits]
            scores[query, : len(hits)] = [hit["distance"] for hit in hits]
        return rows, scores


def client(uri: str, token_file: str) -> Any:
    """The process's connection to one Milvus.

    Raises:
        ConfigError: no address.
        MissingExtra: pymilvus is not installed.
        StoreUnavailable: nobody answers there.
    """
    if not uri:
        raise ConfigError("Milvus needs an address: set channels.milvus_uri to http://host:19530 or to a file.db")
    with _connecting:
        return _connected(uri, token_file)


@cache
def _connected(uri: str, token_file: str) -> Any:
    try:
        from pymilvus import MilvusClient, MilvusException
    except ImportError as error:
        raise MissingExtra("pymilvus", "milvus") from error
    token = Path(token_file).read_text(encoding="utf-8").strip() if token_file else ""
    try:
        return MilvusClient(uri=uri, token=token)
    except MilvusException as error:
        raise StoreUnavailable(f"Milvus at {uri} does not answer: {error.message}") from error
