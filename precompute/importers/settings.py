"""What an import may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foundation.settings import setting


@dataclass(frozen=True)
class ImportSettings:
    """How strict an import is and how much of the past it keeps."""

    max_reject_share: float = setting(
        0.05, unit="share of rows", help="above this share of bad items or bad events the import is refused"
    )
    unknown_items: Literal["reject", "create"] = setting(
        "reject", unit="", help="an event on an item that is not in items: reject the event, or create a bare item"
    )
    max_future_days: float = setting(
        1.0, unit="days", help="a timestamp further than this beyond the clock of the import is rejected"
    )
    samples_per_reason: int = setting(3, unit="rows", help="rejected rows quoted under each reason in import.json")
    keep_versions: int = setting(3, unit="versions", help="imports kept on disk, the current one included")
