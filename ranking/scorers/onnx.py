"""Score pairs with ONNX Runtime: one thread a session, because requests are the parallelism."""

from __future__ import annotations

import tempfile
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

    @classmethod
    def quantised(cls, path: Path) -> OnnxScorer:
        """The same network with 8-bit weights, and activations that are rounded to 8 bits batch by batch.

        What a pair scores then depends, in the third digit, on who else is in its batch.
        """
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as name:
            small = Path(name) / path.name
            quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True)
            return cls(small)

    def __call__(self, features: Floats) -> Floats:
        """Scores in the order of ``features``."""
        scores: Floats = self._session.run(["scores"], {"features": features})[0]
        return scores
