"""Score pairs with ONNX Runtime: one thread a session, because requests are the parallelism."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from foundation.types import Floats


class OnnxScorer:
    """(P, F) float32 features to (P,) float32 scores."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, features: Floats) -> Floats:
        """Scores in the order of ``features``."""
        scores: Floats = self._session.run(["scores"], {"features": features})[0]
        return scores
