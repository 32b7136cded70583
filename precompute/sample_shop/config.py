"""Size and seed of the sample shop."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import ConfigError
from foundation.settings import setting

DAY = 86_400_000  # ms
END = 1_780_272_000_000  # 2026-06-01T00:00:00Z: fixed, so that equal seeds give equal shops on any day
REGIONS = ("north", "south", "east", "west", "islands")


@dataclass(frozen=True)
class SampleShopConfig:
    """How large a shop, over how long, from which seed. Group ``sample_shop``."""

    seed: int = setting(7, unit="", help="equal seeds and sizes give byte-identical shops")
    n_items: int = setting(6_000, unit="items", help="catalogue size, launches during the period included")
    n_users: int = setting(20_000, unit="users", help="each has at least one session")
    days: int = setting(60, unit="days", help="length of the event log, which ends at 2026-06-01T00:00Z")
    n_brands: int = setting(150, unit="brands", help="brand names; each sells in one or two departments")
    sessions_per_user: float = setting(4.0, unit="sessions", help="mean for a user who is there from the first day")

    def __post_init__(self) -> None:
        if min(self.n_items, self.n_users, self.days, self.n_brands) < 1 or self.sessions_per_user <= 0:
            raise ConfigError("every size of the sample shop is at least 1")
        if self.n_items < 200:
            raise ConfigError(f"n_items={self.n_items} leaves categories empty; use at least 200")
        if self.days < 14:
            raise ConfigError(f"days={self.days} cannot show a week's rhythm; use at least 14")

    @property
    def start(self) -> int:
        """First instant of the log, ms."""
        return END - self.days * DAY
