"""What a merchandiser may ask of lists: pin, boost, bury, hide; where and when it holds. Words and their JSON.

    {"rules": [{"id": "summer-mugs", "priority": 10,
                "scope": {"surfaces": ["home"], "categories": ["Home > Kitchen"]},
                "validity": [{"from": "2026-06-01T00:00:00Z", "until": "2026-09-01T00:00:00Z"}],
                "action": {"type": "boost", "target": {"brands": ["Arbor"]}, "by": 0.3}}]}

Rules are data: decoding is strict (an unknown field is an error), and every error says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from foundation.catalogue import SEPARATOR, category_levels
from foundation.errors import InvalidInput
from foundation.json_errors import invalid_input

MAX_RULES = 2_000
MAX_PLACE = 100  # of a pin
MAX_BOOST = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RuleId: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]
Names: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=10_000)]
Amount: TypeAlias = Annotated[float, Meta(gt=0, le=MAX_BOOST)]
Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]


class _Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all of them have in common."""


class Target(_Word, frozen=True):
    """Items. Within one field any value will do; all fields that are given must hold; one must be given."""

    items: Names = ()  # item ids
    categories: Names = ()  # paths of any level, with all that is below
    brands: Names = ()
    attributes: dict[Name, Names] = {}  # column of the shop's own to values, compared as text

    @property
    def empty(self) -> bool:
        """Whether it says nothing, which would be every item of the shop."""
        return not (self.items or self.categories or self.brands or self.attributes)


class Pin(_Word, frozen=True, tag_field="type", tag="pin"):
    """The item stands in this place of the list, counted from 1 on the first page, unless it may not be shown."""

    item_id: Name
    place: Annotated[int, Meta(ge=1, le=MAX_PLACE)]


class Boost(_Word, frozen=True, tag_field="type", tag="boost"):
    """Raise the target's relevance, whose scale is 0 to 1 from the last of a list's head to its best candidate."""

    target: Target
    by: Amount


class Bury(_Word, frozen=True, tag_field="type", tag="bury"):
    """Lower the target's relevance; see ``Boost``."""

    target: Target
    by: Amount


class Hide(_Word, frozen=True, tag_field="type", tag="hide"):
    """Never show the target; no pin brings it back."""

    target: Target


Action: TypeAlias = Pin | Boost | Bury | Hide


class Scope(_Word, frozen=True):
    """Where a rule holds. Within one field any value will do; all fields must hold; an empty one always does."""

    surfaces: Names = ()
    categories: Names = ()  # of the page that the list is on, with all that is below
    regions: Names = ()
    segments: Names = ()


class Validity(_Word, frozen=True):
    """A half-open span of time; an end that is not given is open."""

    start: Instant | None = msgspec.field(name="from", default=None)
    until: Instant | None = None

    @property
    def span_ms(self) -> tuple[int | None, int | None]:
        """From (inclusive) and until (exclusive), ms since the epoch."""
        return _ms(self.start), _ms(self.until)


class Rule(_Word, frozen=True):
    """One wish of a merchandiser."""

    id: RuleId
    action: Action
    description: Annotated[str, Meta(max_length=2_000)] = ""
    enabled: bool = True
    priority: Annotated[int, Meta(ge=-1_000, le=1_000)] = 0  # the higher wins; of equals the lesser id
    scope: Scope = Scope()
    validity: Annotated[tuple[Validity, ...], Meta(max_length=100)] = ()  # any of them; none for always

    def valid_at(self, now_ms: int) -> bool:
        """Whether it is enabled and one of its spans holds."""
        spans = [validity.span_ms for validity in self.validity] or [(None, None)]
        return self.enabled and any(
            (start is None or start <= now_ms) and (until is None or now_ms < until) for start, until in spans
        )


class Occasion(msgspec.Struct, frozen=True):
    """Where a list is to be shown, and to whom: what scopes are held against."""

    surface: str
    category: str = ""  # path of the category page, '' on any other
    region: str = ""
    segments: tuple[str, ...] = ()


class RuleSet(_Word, frozen=True):
    """A shop's rules as one document."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()


def holds_on(scope: Scope, occasion: Occasion) -> bool:
    """Whether a rule of this scope applies there."""
    return (
        (not scope.surfaces or occasion.surface in scope.surfaces)
        and (not scope.regions or occasion.region in scope.regions)
        and (not scope.segments or not set(occasion.segments).isdisjoint(scope.segments))
        and (not scope.categories or not set(category_levels(occasion.category)).isdisjoint(scope.categories))
    )


def decode_rules(document: bytes | str) -> tuple[Rule, ...]:
    """The rules of a JSON document.

    Raises:
        InvalidInput: it is not JSON, does not fit, or contradicts itself (see ``check_rules``); the
            pointer says where.
    """
    try:
        rules = msgspec.json.decode(document, type=RuleSet).rules
    except msgspec.ValidationError as error:
        raise invalid_input(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the rules are not valid JSON: {error}") from error
    check_rules(rules)
    return rules


def encode_rules(rules: Sequence[Rule]) -> bytes:
    """What ``decode_rules`` reads: indented, defaults left out, the same bytes for the same rules."""
    return msgspec.json.format(msgspec.json.encode(RuleSet(rules=tuple(rules)), order="deterministic"), indent=2)


def check_rules(rules: Sequence[Rule], pointer: str = "/rules") -> None:
    """What types cannot say.

    Args:
        rules: of one shop.
        pointer: of the list in the document that it came from.

    Raises:
        InvalidInput: two rules share an id, a target is empty, a span ends before it begins or says
            nothing, or a category's path is not written in its normal form.
    """
    seen: dict[str, int] = {}
    for at, rule in enumerate(rules):
        here = f"{pointer}/{at}"
        if (first := seen.setdefault(rule.id, at)) != at:
            raise InvalidInput(f"rule {rule.id!r} is there twice, first at {pointer}/{first}", f"{here}/id")
        _check_paths(rule.scope.categories, f"{here}/scope/categories")
        if not isinstance(rule.action, Pin):
            if rule.action.target.empty:
                raise InvalidInput(
                    "the target is every item of the shop; name items, categories, brands or attributes",
                    f"{here}/action/target",
                )
            _check_paths(rule.action.target.categories, f"{here}/action/target/categories")
        for number, validity in enumerate(rule.validity):
            _check_span(validity, f"{here}/validity/{number}")


def _check_paths(paths: Sequence[str], pointer: str) -> None:
    for at, path in enumerate(paths):
        normal = (category_levels(path) or ("",))[-1]
        if path != normal:
            raise InvalidInput(
                f"{path!r} is no category path; join up to three levels by {SEPARATOR!r}, as in {normal!r}",
                f"{pointer}/{at}",
            )


def _check_span(validity: Validity, pointer: str) -> None:
    start, until = validity.span_ms
    if start is None and until is None:
        raise InvalidInput("give from, until or both; leave the span out for always", pointer)
    if start is not None and until is not None and until <= start:
        raise InvalidInput("until must be after from", f"{pointer}/until")


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // timedelta(milliseconds=1)
