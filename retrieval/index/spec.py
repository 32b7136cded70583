"""Which index to build, and the header that a saved index carries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.settings import setting

HEADER = "index.json"
STORAGES = ("", "fp32", "fp16", "int8", "pq")
_FORMAT = 2
_LEAST_ONE = ("m", "ef_construction", "ef_search", "nprobe", "trees", "build_threads", "refine")


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """The backend and its parameters; those of other backends are ignored."""

    backend: str = setting("auto", unit="", help="auto (compares every vector, unless tuned) or a name of the registry")
    storage: str = setting(
        "", unit="", help="faiss-*: fp32, fp16, int8 or pq; empty for fp16 in lists and fp32 elsewhere"
    )
    refine: int = setting(
        4, unit="times k", help="int8, pq: candidates that are compared again with the vectors themselves"
    )
    lists: int = setting(0, unit="lists", help="faiss-ivf: clusters of the vectors; 0 for about 2 sqrt(N)")
    nprobe: int = setting(32, unit="lists", help="faiss-ivf: lists that a query reads")
    m: int = setting(16, unit="links", help="HNSW: links of a node and layer; memory grows with it")
    ef_construction: int = setting(200, unit="candidates", help="HNSW: breadth of the search while building")
    ef_search: int = setting(400, unit="candidates", help="HNSW and CAGRA: breadth of a search; k where that is more")
    trees: int = setting(40, unit="trees", help="annoy: size and recall grow with it")
    search_k: int = setting(0, unit="nodes", help="annoy: nodes inspected a query; 0 for 2 x trees x max(k, 50)")
    build_threads: int = setting(
        1, unit="threads", help="above 1 a graph is built faster, but two builds of it are no longer equal"
    )
    seed: int = setting(7, unit="", help="of whatever a backend draws by chance")
    uri: str = setting("", unit="", help="milvus: address of the cluster, or a file ending in .db for the embedded one")
    token_file: str = setting("", unit="", help="milvus: a file that holds the token; the token itself is never stored")

    def __post_init__(self) -> None:
        for name in _LEAST_ONE:
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1", name)
        if self.storage not in STORAGES:
            raise InvalidInput(f"no storage {self.storage!r}; there are: {', '.join(STORAGES[1:])}", "storage")

    def stored(self, storage: str) -> IndexSpec:
        """This spec with ``storage`` where it left that open."""
        return self if self.storage else replace(self, storage=storage)


@dataclass(frozen=True, slots=True)
class Header:
    """What ``index.json`` says of the index and of the file beside it."""

    spec: IndexSpec  # ``backend`` is never auto here
    size: int  # N
    dim: int  # D
    reach: float  # the longest vector's length where vectors were augmented, else 0
    file: str  # the name of the backend's file; "" where the vectors are all it needs
    bytes: int  # its length
    format: int = _FORMAT


def write_header(folder: Path, spec: IndexSpec, size: int, dim: int, reach: float, file: str) -> None:
    """Write ``index.json`` beside the finished ``file``."""
    header = Header(spec, size, dim, reach, file, (folder / file).stat().st_size if file else 0)
    (folder / HEADER).write_bytes(msgspec.json.format(msgspec.json.encode(header, order="deterministic")))


def read_header(folder: Path) -> Header:
    """Read ``index.json`` and check that its file is there and whole.

    Raises:
        ReleaseDamaged: no header, one that does not fit, or a file of another length.
    """
    try:
        header = msgspec.json.decode((folder / HEADER).read_bytes(), type=Header)
    except FileNotFoundError as error:
        raise ReleaseDamaged(f"{folder} holds no {HEADER}; build the index again") from error
    except (msgspec.MsgspecError, InvalidInput) as error:
        raise ReleaseDamaged(f"{folder / HEADER}: {error}; build the index again") from error
    if header.format != _FORMAT:
        raise ReleaseDamaged(f"{folder / HEADER} has format {header.format}, this version reads {_FORMAT}; train again")
    path = folder / header.file
    length = (path.stat().st_size if path.is_file() else None) if header.file else 0
    if length != header.bytes:
        raise ReleaseDamaged(f"{path}: {header.bytes} bytes expected, found {length}; build the index again")
    return header
