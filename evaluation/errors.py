"""What can be wrong with an evaluation itself."""

from __future__ import annotations

from foundation.errors import EndcapError


class LeakFound(EndcapError):
    """Something of the future reached what was trained: no number of this run may be believed."""
