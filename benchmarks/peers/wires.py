"""How each server wants to be asked, and how its answers read: one small class a dialect."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np

from benchmarks.peers.reference import Floats, RankAsk
from foundation.testing.http_client import Reply

_BINARY_HEADER = "inference-header-content-length"


def post(path: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request, to be sent as often as one likes."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def _post_json(path: str, body: object) -> bytes:
    return post(path, msgspec.json.encode(body), "application/json")


class TensorWire(Protocol):
    """Features to scores."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def request(self, features: Floats) -> bytes:
        """(P, 160) as a request."""

    def scores(self, reply: Reply) -> Floats:
        """(P,) of an answer."""


class RankWire(Protocol):
    """A user and item ids to an ordered list."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def request(self, ask: RankAsk) -> bytes:
        """The question."""

    def items(self, reply: Reply) -> list[tuple[str, float]]:
        """Item ids and scores, best first."""


@dataclass(frozen=True)
class Raw:
    """float32 bytes in, float32 bytes out."""

    path: str
    name: str = "raw float32"

    def request(self, features: Floats) -> bytes:
        """See ``TensorWire``."""
        return post(self.path, features.tobytes(), "application/octet-stream")

    def scores(self, reply: Reply) -> Floats:
        """See ``TensorWire``."""
        return np.frombuffer(reply.body, np.float32)


@dataclass(frozen=True)
class Lists:
    """Lists of numbers in JSON."""

    path: str
    name: str = "JSON lists"

    def request(self, features: Floats) -> bytes:
        """See ``TensorWire``."""
        return _post_json(self.path, {"features": features.round(6).astype(np.float64).round(6).tolist()})

    def scores(self, reply: Reply) -> Floats:
        """See ``TensorWire``."""
        return np.asarray(reply.json()["scores"], np.float32)


@dataclass(frozen=True)
class Base64:
    """float32 bytes as base64 text in JSON."""

    path: str
    batched: bool = False  # the text is the one element of a list (BentoML joins such lists to batches)
    name: str = "base64 in JSON"

    def request(self, features: Floats) -> bytes:
        """See ``TensorWire``."""
        text = base64.b64encode(features.tobytes()).decode()
        return _post_json(self.path, {"features": [text] if self.batched else text})

    def scores(self, reply: Reply) -> Floats:
        """See ``TensorWire``."""
        found = reply.json()
        return np.frombuffer(base64.b64decode(found[0] if self.batched else found["scores"]), np.float32)


@dataclass(frozen=True)
class OpenInferenceTensor:
    """Open Inference Protocol v2 with its binary extension."""

    path: str = "/v2/models/ranker/infer"
    name: str = "OIP v2 binary"

    def request(self, features: Floats) -> bytes:
        """See ``TensorWire``."""
        raw = features.tobytes()
        given = {
            "name": "x",
            "shape": features.shape,
            "datatype": "FP32",
            "parameters": {"binary_data_size": len(raw)},
        }
        head = msgspec.json.encode({"inputs": [given], "parameters": {"binary_data_output": True}})
        return post(self.path, head + raw, "application/octet-stream", {_BINARY_HEADER: str(len(head))})

    def scores(self, reply: Reply) -> Floats:
        """See ``TensorWire``."""
        return np.frombuffer(reply.body[int(reply.header(_BINARY_HEADER) or 0) :], np.float32)


@dataclass(frozen=True)
class Ids:
    """``{user_id, item_ids}`` to ``{items: [{item_id, score}]}``, as Endcap's ``POST /v1/rank`` has it."""

    path: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    name: str = "JSON ids"

    def request(self, ask: RankAsk) -> bytes:
        """See ``RankWire``."""
        return _post_json(self.path, {"user_id": ask.user_id, "item_ids": ask.item_ids, **self.extra})

    def items(self, reply: Reply) -> list[tuple[str, float]]:
        """See ``RankWire``."""
        return [(item["item_id"], item["score"]) for item in reply.json()["items"]]


@dataclass(frozen=True)
class Candidates:
    """``{user_id, candidates, n}``: the server finds the candidates itself and answers the best n."""

    path: str
    n: int = 12
    name: str = "JSON user"

    def request(self, ask: RankAsk) -> bytes:
        """See ``RankWire``; as many candidates as the question has items."""
        body = {"user_id": ask.user_id, "candidates": len(ask.item_ids), "n": self.n}
        return _post_json(self.path, body)

    def items(self, reply: Reply) -> list[tuple[str, float]]:
        """See ``RankWire``."""
        return [(item["item_id"], item["score"]) for item in reply.json()["items"]]


@dataclass(frozen=True)
class Surface:
    """``GET`` of a surface of Endcap's for a user."""

    n: int = 12
    name: str = "query string"

    def request(self, ask: RankAsk) -> bytes:
        """See ``RankWire``; how many candidates are ranked is the server's setting."""
        head = f"GET /v1/recommendations/home?user_id={ask.user_id}&n={self.n} HTTP/1.1"
        return f"{head}\r\nhost: localhost\r\n\r\n".encode()

    def items(self, reply: Reply) -> list[tuple[str, float]]:
        """See ``RankWire``."""
        return [(item["item_id"], item["score"]) for item in reply.json()["items"]]


@dataclass(frozen=True)
class OpenInferenceRank:
    """Open Inference Protocol v2 in JSON, ids as BYTES."""

    path: str = "/v2/models/ranker/infer"
    name: str = "OIP v2 JSON ids"

    def request(self, ask: RankAsk) -> bytes:
        """See ``RankWire``."""
        user = {"name": "user_id", "shape": [1, 1], "datatype": "BYTES", "data": [ask.user_id]}
        shape = [1, len(ask.item_ids)]
        items = {"name": "item_ids", "shape": shape, "datatype": "BYTES", "data": ask.item_ids}
        return _post_json(self.path, {"inputs": [user, items]})

    def items(self, reply: Reply) -> list[tuple[str, float]]:
        """See ``RankWire``."""
        outputs = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        return list(zip(outputs["item_ids"], outputs["scores"], strict=True))
