"""Triton's Python backend, the only one in the ``nvidia-pytriton`` wheel: one model for each workload."""

from __future__ import annotations

import os
import sys
from typing import Any

# The stub embeds an interpreter that does not read PYTHONPATH: without this it finds the system's packages.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np  # noqa: E402 (after the path is set)
import triton_python_backend_utils as triton  # noqa: E402
from common import WORKLOAD, Model, Shop  # noqa: E402


class TritonPythonModel:
    """Triton calls ``execute`` with every request that waits, up to its cap."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 (Triton's signature)
        """Load."""
        self.model = Model()
        self.shop = Shop() if WORKLOAD == "rank" else None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the batch."""
        if self.shop is not None:
            return self._rank(self.shop, requests)
        scores = self.model.batch([triton.get_input_tensor_by_name(r, "x").as_numpy() for r in requests])
        return [_response(scores=own[:, None]) for own in scores]

    def _rank(self, shop: Shop, requests: list[Any]) -> list[Any]:
        asked = [(_text(request, "user_id")[0], _text(request, "item_ids")) for request in requests]
        scores = self.model.batch([shop.features(user_id, item_ids) for user_id, item_ids in asked])
        answers = []
        for (_, item_ids), own in zip(asked, scores, strict=True):
            best = np.argsort(-own, kind="stable")
            answers.append(_response(item_ids=np.array(item_ids, object)[best][None], scores=own[best][None]))
        return answers


def _text(request: Any, name: str) -> list[str]:
    """A BYTES input of one row."""
    return [value.decode() for value in triton.get_input_tensor_by_name(request, name).as_numpy()[0]]


def _response(**tensors: Any) -> Any:
    return triton.InferenceResponse([triton.Tensor(name, value) for name, value in tensors.items()])
