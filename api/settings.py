"""How the API listens, how long it takes at most and how much it takes in. Group ``api``."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.settings import setting


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
    max_in_flight: int = setting(2048, unit="requests", help="most requests in work; more are answered 429")
    page_size: int = setting(12, unit="items", help="items of an answer when the request does not say")
    page_depth: int = setting(1000, unit="items", help="how far cursors lead; then next_cursor is null")
    body_limit: int = setting(1_048_576, unit="bytes", help="largest request body; larger ones are answered 413")
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
