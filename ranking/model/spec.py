"""What a stored ranker says of itself; free of torch, so that serving can read it."""

from __future__ import annotations

import msgspec

CLIP = 5.0  # standard deviations of a standardised feature: one absurd price must not own a score


class RankerSpec(msgspec.Struct, frozen=True):
    """``ranker.json``: the columns the network was trained on, in order."""

    features: tuple[str, ...]
    score_names: tuple[str, ...]
    opset: int
