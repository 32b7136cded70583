"""What the online program is told: how it listens, how long it takes at most, how much it takes in."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from edge.headers import HeaderSettings
from edge.reader import ReaderSettings
from foundation.errors import ConfigError
from foundation.home import HomeSettings
from foundation.settings import setting
from ranking.rerank import RerankSettings

_POSITIVE = frozenset(
    {
        "workers",
        "poll_s",
        "max_batch",
        "page_size",
        "page_depth",
        "body_limit",
        "body_deadline_s",
        "header_limit",
        "slots_items",
        "live_half_life_s",
    }
)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Group ``api``."""

    host: str = setting("127.0.0.1", unit="", help="address to listen on; 0.0.0.0 for every interface")
    port: int = setting(8000, unit="", help="port to listen on")
    workers: int = setting(1, unit="processes", help="worker processes that share the port; about one a core")
    drain_s: int = setting(20, unit="s", help="longest time that open requests get to finish on SIGTERM")
    poll_s: float = setting(1.0, unit="s", help="how often the release pointer is looked at")
    deadline_ms: int = setting(150, unit="ms", help="longest wait for a personalised list; then the next rung answers")
    store_deadline_ms: int = setting(50, unit="ms", help="longest wait for a user's precomputed list")
    max_batch: int = setting(32, unit="requests", help="most requests that are scored together")
    max_queue: int = setting(256, unit="requests", help="most requests that wait for a batch; more drop a rung")
    shed_lag_ms: int = setting(
        100, unit="ms", help="when the event loop is later than this, lists come from trending and popular alone"
    )
    refuse_lag_ms: int = setting(1000, unit="ms", help="when it is later than this, requests are answered 429")
    max_in_flight: int = setting(2048, unit="requests", help="most requests in work; more are answered 429")
    page_size: int = setting(12, unit="items", help="items of an answer when the request does not say")
    page_depth: int = setting(1000, unit="items", help="how far cursors lead; then next_cursor is null")
    body_limit: int = setting(1_048_576, unit="bytes", help="largest request body; larger ones are answered 413")
    body_deadline_s: float = setting(10.0, unit="s", help="longest time that a body may take to come; then 408")
    body_budget: int = setting(
        67_108_864, unit="bytes", help="most that all bodies together hold beyond their first 16 KiB each; then 429"
    )
    header_limit: int = setting(65_536, unit="bytes", help="longest head of a request; longer ones are answered 431")
    slots_items: int = setting(
        240, unit="items", help="most items that the slots of one call ask for together: 20 slots of 12"
    )
    stream_limit: int = setting(
        1 << 36, unit="bytes", help="size of the event stream on disk from which events are answered 503"
    )
    cors_origins: tuple[str, ...] = setting((), unit="", help="origins that browsers may call from; * for all")
    live_half_life_s: int = setting(3600, unit="s", help="half-life of an event in live trending")
    live_support: float = setting(
        2.5,
        unit="weight",
        help="decayed weight below which nothing trends; between a view (1) and an add to cart (3), so that one click "
        "is no trend and one shopper's decision is",
    )
    live_prior: float = setting(20.0, unit="weight", help="pseudo-weight that live counts are smoothed with")
    shopper_list: bool = setting(
        False,
        unit="",
        help="answer GET /v1/users with a few user ids to try; ids of people are not public: for demonstrations only",
    )
    future_ms: int = setting(86_400_000, unit="ms", help="how far ahead of our clock an event's timestamp may be")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: a number is below its bound; the text names the setting and the variable.
        """
        for name in (each.name for each in dataclasses.fields(self)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if name in _POSITIVE and not 0 < value < math.inf:
                raise ConfigError(f"api.{name} (ENDCAP_API_{name.upper()}) is {value:g}; it must be above 0")
            if not 0 <= value < math.inf:
                raise ConfigError(f"api.{name} (ENDCAP_API_{name.upper()}) is {value:g}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Every group that the online program reads."""

    home: HomeSettings
    api: ApiSettings
    headers: HeaderSettings
    edge_reader: ReaderSettings
    rerank: RerankSettings
