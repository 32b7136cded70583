"""What travels over HTTP, both ways: the Structs that validate, encode and describe themselves in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from api.surfaces import SURFACES
from foundation.shoppers import Shopper

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Price: TypeAlias = Annotated[float, Meta(ge=0)]
PageSize: TypeAlias = Annotated[int, Meta(ge=1, le=200, description="items wanted; api.page_size when left out")]
Timestamp: TypeAlias = Annotated[
    int, Meta(ge=0, le=253_402_300_799_999, description="ms since the epoch, UTC; now when left out")
]
CursorText: TypeAlias = Annotated[str, Meta(max_length=8000, description="next_cursor of the last answer")]
Categories: TypeAlias = Annotated[
    list[Annotated[str, Meta(max_length=500)]],
    Meta(max_length=50, description="category paths of any level, joined by ' > '; repeat for several"),
]
Brands: TypeAlias = Annotated[
    list[Annotated[str, Meta(max_length=200)]], Meta(max_length=50, description="brand names")
]
UserId: TypeAlias = Annotated[Id, Meta(description="who it is for; leave out for an anonymous visitor")]
Session: TypeAlias = Annotated[Id, Meta(description="session of an anonymous visitor, as in events")]
Region: TypeAlias = Annotated[str, Meta(max_length=100)]
ValidateOnly: TypeAlias = Annotated[bool, Meta(description="check the request and answer no items")]
Excluded: TypeAlias = Annotated[list[Id], Meta(max_length=1000, description="item ids never to answer")]


class Filters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be in the list."""

    category: Categories = []
    brand: Brands = []
    min_price: Price | None = None
    max_price: Price | None = None
    available: Annotated[bool, Meta(description="only what can be bought now")] = True
    exclude: Excluded = []


class ListOptions(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one list is to be like."""

    item_id: Annotated[
        list[Id], Meta(max_length=100, description="the page's item (product) or the cart's items (cart)")
    ] = []
    n: PageSize | None = None
    cursor: CursorText | None = None
    exclude_bought: (
        Annotated[bool, Meta(description="leave out what the user bought; a surface has its default")] | None
    ) = None


class RecommendParams(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for one list; the same for GET (query) and POST (body)."""

    user_id: UserId | None = None
    session: Session | None = None
    region: Region | None = None


class RecommendBody(RecommendParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The POST twin."""

    validate_only: ValidateOnly = False


class Visitor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a request is for."""

    user_id: UserId | None = None
    session: Session | None = None
    region: Region | None = None


class Slot(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the lists of a page."""

    id: Annotated[Id, Meta(description="what the page calls it; differs from slot to slot")]
    surface: (
        Annotated[
            str,
            Meta(
                max_length=100,
                description="the surface of the path when left out",
                extra_json_schema={"enum": list(SURFACES)},
            ),
        ]
        | None
    ) = None


class SlotsBody(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for all the lists of a page: no item is in two of them, and earlier slots choose first."""

    slots: Annotated[list[Slot], Meta(min_length=1, max_length=20)]
    validate_only: ValidateOnly = False


class NeighbourParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for an item-to-item list."""

    n: PageSize | None = None
    cursor: CursorText | None = None


class ListParams(NeighbourParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a ranked public list."""

    category: Annotated[str, Meta(max_length=500)] = ""
    region: Annotated[str, Meta(max_length=100)] = ""
    window: Annotated[str, Meta(max_length=20, description="e.g. 7d; the list's shortest when left out")] | None = None


class BrowseParams(NeighbourParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a page of the catalogue."""

    q: Annotated[str, Meta(max_length=200, description="words that titles, brands or categories contain")] = ""
    category: Annotated[str, Meta(max_length=500)] = ""
    available: bool = True


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A request without parameters."""


class RankBody(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """My own list of items, to be put in order for this user."""

    item_ids: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    item_id: Annotated[Id, Meta(description="the item of the page")] | None = None


class EventIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing one user did to one item."""

    user_id: Id
    item_id: Id
    event_type: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,49}$", examples=["view", "add_to_cart", "purchase"])]
    timestamp: (
        Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="ms since the epoch, UTC; now when left out")]
        | None
    ) = None
    event_id: Annotated[Id, Meta(description="makes sending again safe; generated when left out")] | None = None
    session_id: Id | None = None
    value: float | None = None
    region: Annotated[str, Meta(max_length=100)] | None = None
    surface: Annotated[str, Meta(max_length=100)] | None = None
    recommendation_id: Id | None = None
    position: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class EventsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A batch of events. Each is judged by itself: a bad one does not stop the others."""

    events: Annotated[list[EventIn], Meta(min_length=1, max_length=1000)]


ReasonCode: TypeAlias = Literal[
    "because_of_item",
    "for_your_taste",
    "bought_before",
    "seen_before",
    "similar_to",
    "bought_together",
    "trending",
    "popular",
    "your_list",
    "ranked",
]


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why an item is in the list; ``item_id`` names the item that led to it."""

    code: ReasonCode
    item_id: str | UnsetType = UNSET


class ItemFields(Struct, frozen=True, kw_only=True):
    """What a shop shows of an item."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float | None
    currency: str
    available: bool
    image_url: str


class RecommendedItem(ItemFields, frozen=True, kw_only=True):
    """An item in its place."""

    rank: int
    score: float | None
    reason: Reason


class ExperimentMeta(Struct, frozen=True):
    """The experiment that this answer is part of."""

    id: str
    variant: str


class AnswerMeta(Struct, frozen=True, kw_only=True):
    """Where an answer came from."""

    release: str
    rules: str | None = None
    experiment: ExperimentMeta | None = None
    served_from: Literal["personalised", "user_list", "trending", "popular", "similar", "bought_together"]
    degraded: bool = False
    generated_at: Annotated[int, Meta(description="ms since the epoch")]
    took_ms: Annotated[float | None, Meta(description="null on answers that caches share")] = None


class Notice(Struct, frozen=True):
    """Something the caller should know, though there is an answer."""

    code: str
    detail: str


class Answer(Struct, frozen=True, kw_only=True):
    """A list of items."""

    recommendation_id: str
    surface: str
    items: list[RecommendedItem]
    next_cursor: str | None = None
    missing_ids: list[str] = []
    warnings: list[Notice] = []
    meta: AnswerMeta


class SlotAnswer(Answer, frozen=True, kw_only=True):
    """The list of one slot."""

    id: Annotated[str, Meta(description="the slot's")]


class SlotsAnswer(Struct, frozen=True):
    """A list for each slot, in the order asked for; no item is in two of them."""

    slots: list[SlotAnswer]


class ItemsPage(Struct, frozen=True, kw_only=True):
    """A page of the catalogue."""

    items: list[ItemFields]
    next_cursor: str | None = None


class EventOutcome(Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    status: Literal["accepted", "duplicate", "rejected"]
    event_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    pointer: str | UnsetType = UNSET


class EventsAnswer(Struct, frozen=True):
    """Per event, in the order sent. Accepted ones are on disk."""

    accepted: int
    duplicates: int
    rejected: int
    events: list[EventOutcome]


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One event of a user, with what the item is called."""

    item_id: str
    title: str
    event_type: str
    timestamp: int


class UserSummary(Struct, frozen=True):
    """What is known of a user, newest first."""

    user_id: str
    events: list[HistoryEntry]


class UsersParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for users to try."""

    n: Annotated[int, Meta(ge=1, le=200, description="users wanted; a release names up to 12")] = 12


class UserList(Struct, frozen=True):
    """A few known users of this release: the latest of each region, then the second of each, and so on."""

    users: list[Shopper]


class CategoryEntry(Struct, frozen=True, kw_only=True):
    """One category and how much is in it."""

    path: Annotated[str, Meta(description="levels joined by ' > ', as filters take it")]
    parent: Annotated[str | None, Meta(description="path of the next wider one; null at the top")]
    level: Annotated[int, Meta(ge=1, le=3)]
    items: Annotated[int, Meta(ge=1, description="items in it and below, sold out or not")]


class CategoryList(Struct, frozen=True):
    """Every category of the catalogue, sorted by path: each follows its parent."""

    categories: list[CategoryEntry]


class ProblemError(Struct, frozen=True):
    """One thing that is wrong; ``pointer`` is a JSON pointer into the body or ``/parameter``."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = []
