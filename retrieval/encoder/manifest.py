"""The files of a saved encoder and the record that holds them together; free of torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from foundation.errors import ReleaseDamaged
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import ItemVocabulary

MANIFEST, WEIGHTS, ITEM_ONNX, USER_ONNX = "encoder.json", "weights.safetensors", "item.onnx", "user.onnx"
FORMAT = 1
OPSET = 20


class EncoderManifest(msgspec.Struct, frozen=True):
    """What an encoder says of itself in ``encoder.json``."""

    config: EncoderConfig
    vocabulary: ItemVocabulary
    opset: int  # of both ONNX files
    validation_recall: float | None
    epochs: int
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> EncoderManifest:
        """Read ``encoder.json``.

        Raises:
            ReleaseDamaged: there is none, or it is of another format.
        """
        path = folder / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise ReleaseDamaged(f"no encoder in {folder}; train one with: endcap train") from error
        except msgspec.DecodeError as error:
            raise ReleaseDamaged(f"{path} is not an encoder's manifest: {error}") from error
        if manifest.format != FORMAT:
            raise ReleaseDamaged(f"{path} has format {manifest.format}, this version reads {FORMAT}; train again")
        return manifest
