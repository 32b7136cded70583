"""Settings of the public lists."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foundation.errors import ConfigError
from foundation.settings import setting

DAY = 86_400_000  # ms
_WINDOW = re.compile(r"([1-9]\d*)([dh])")


@dataclass(frozen=True)
class ListSettings:
    """How long the lists are, what they look back on, and how much evidence they ask for."""

    length: int = setting(50, unit="items", help="longest trending or popular list")
    neighbours: int = setting(30, unit="items", help="longest list of one item: similar, bought together")
    min_support: int = setting(
        30, unit="events", help="a region or category with fewer in the window has no list; the wider one serves"
    )
    trending_windows: tuple[str, ...] = setting(
        ("1d", "7d", "30d"), unit="hours or days", help="a trending list for each, e.g. 12h, 7d"
    )
    trending_half_life: float = setting(
        0.5, unit="windows", help="events of this age count half of one of now, as a share of the window"
    )
    trending_baseline: str = setting(
        "28d", unit="hours or days", help="how long before the window an item's usual rate is taken from"
    )
    trending_prior: float = setting(
        5.0, unit="events", help="strength of the belief that nothing trends; higher asks for more evidence"
    )
    popular_windows: tuple[str, ...] = setting(
        ("30d", "all"), unit="hours or days", help="a popular list for each; 'all' looks at the whole log"
    )
    similar_half_life: str = setting("30d", unit="hours or days", help="a view of this age counts half for similarity")
    similar_prior: float = setting(
        20.0, unit="users", help="an item that this many have seen is judged half by them, half by its content"
    )
    basket_gap: str = setting(
        "1h", unit="hours or days", help="purchases of a user without session that are closer are one basket"
    )
    basket_cap: int = setting(
        100, unit="items", help="a larger basket counts with its first so many items; wholesale says little of taste"
    )
    basket_min_pairs: int = setting(2, unit="baskets", help="fewer baskets with both items make no pair")
    basket_debias: float = setting(
        0.5, unit="", help="how far popularity is divided out: 0 keeps confidence, 1 gives lift"
    )

    def __post_init__(self) -> None:
        for name in ("length", "neighbours", "basket_cap", "basket_min_pairs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"[lists] {name} must be at least 1")
        for name in ("trending_half_life", "trending_prior", "similar_prior"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"[lists] {name} must be above 0")
        if not 0 <= self.basket_debias <= 1:
            raise ConfigError("[lists] basket_debias must be between 0 and 1")
        if "all" in self.trending_windows:
            raise ConfigError("[lists] a trending window needs a length such as 7d; 'all' is for popular lists")
        for window in (*self.trending_windows, *self.popular_windows):
            window_ms(window)
        for span in (self.trending_baseline, self.similar_half_life, self.basket_gap):
            window_ms(span)


def window_ms(window: str) -> int:
    """The length of ``12h`` or ``7d`` in ms; ``all`` reaches back to the epoch and beyond.

    Raises:
        ConfigError: neither hours, nor days, nor ``all``.
    """
    if window == "all":
        return 2**61
    match = _WINDOW.fullmatch(window)
    if not match:
        raise ConfigError(f"[lists] {window!r} is no window; write hours or days, such as 12h or 7d")
    return int(match[1]) * (DAY if match[2] == "d" else DAY // 24)
