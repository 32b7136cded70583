"""Which index to build, and the header that a saved index carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from foundation.errors import InvalidInput, ReleaseDamaged
from foundation.settings import setting

HEADER = "index.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """The backend and its parameters; those of other backends are ignored."""

    backend: str = setting("auto", unit="", help="auto, exact, faiss, hnswlib or annoy")
    exact_up_to: int = setting(
        100_000, unit="items", help="auto: up to here every vector is compared, above it a graph is searched"
    )
    factory: str = setting(
        "Flat", unit="", help="faiss: index factory string, such as Flat, HNSW32, IVF1024,SQfp16 or SQ8"
    )
    m: int = setting(16, unit="links", help="hnswlib: links of a node and layer; memory grows with it")
    ef_construction: int = setting(200, unit="candidates", help="HNSW: breadth of the search while building")
    ef_search: int = setting(400, unit="candidates", help="HNSW: breadth of a search; k where that is more")
    nprobe: int = setting(32, unit="lists", help="IVF: lists that a query reads")
    trees: int = setting(40, unit="trees", help="annoy: size and recall grow with it")
    search_k: int = setting(0, unit="nodes", help="annoy: nodes inspected a query; 0 for 2 x trees x max(k, 50)")
    build_threads: int = setting(
        1, unit="threads", help="above 1 a graph is built faster, but two builds of it are no longer equal"
    )
    seed: int = setting(7, unit="", help="of whatever a backend draws by chance")

    def __post_init__(self) -> None:
        for name in ("m", "ef_construction", "ef_search", "nprobe", "trees", "build_threads"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1", name)


@dataclass(frozen=True, slots=True)
class Header:
    """What ``index.json`` says of the file beside it."""

    spec: IndexSpec  # ``backend`` is never auto here
    size: int  # N
    dim: int  # D
    file: str  # the name of the backend's file
    bytes: int  # its length
    format: int = _FORMAT


def write_header(folder: Path, spec: IndexSpec, size: int, dim: int, file: str) -> None:
    """Write ``index.json`` beside the finished ``file``."""
    header = Header(spec, size, dim, file, (folder / file).stat().st_size)
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
        raise ReleaseDamaged(f"{folder / HEADER} has format {header.format}, this version reads {_FORMAT}")
    path = folder / header.file
    length = path.stat().st_size if path.is_file() else None
    if length != header.bytes:
        raise ReleaseDamaged(f"{path}: {header.bytes} bytes expected, found {length}; build the index again")
    return header
