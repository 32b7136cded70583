"""Rules against one catalogue: what those that hold on an occasion do to a request.

Precedence is by priority, the higher first, of equals by id. It decides who keeps a place that two
pins want; the other takes the next free one below. Boosts and buries of an item add up. What is
hidden stays hidden, whatever the priority of a pin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
import polars as pl

from foundation.catalogue import Catalogue
from foundation.rules import Boost, Bury, Hide, Occasion, Pin, Rule, Target, holds_on
from foundation.types import NO_ROW, Bools, Floats, Int32s
from ranking.rerank.batch import Effect

_OCCASIONS = 4096  # remembered answers to "which rules hold here"
_EFFECTS = 32  # remembered effects of different sets of rules, up to 5 N bytes each


@dataclass(frozen=True, slots=True)
class Ruling:
    """What rules do on one occasion."""

    effect: Effect
    rules: tuple[str, ...]  # ids of those that hold, by precedence


class Conflict(msgspec.Struct, frozen=True):
    """Two rules that cannot both have their way, and what happens instead."""

    kind: str  # hidden_pin | same_item | same_place | opposed
    rules: tuple[str, str]  # the one that prevails, the other; of opposed ones the booster, the burier
    detail: str


class RuleBook:
    """A shop's rules, resolved to rows of one catalogue. Immutable; any thread may ask it."""

    def __init__(self, rules: Sequence[Rule], catalogue: Catalogue) -> None:
        """Resolve every target once.

        Args:
            rules: checked ones (see ``foundation.rules.check_rules``).
            catalogue: of the release; names that it does not know are of no consequence and in ``unknown``.
        """
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
        self._rules = tuple(rule for rule in ordered if rule.enabled)
        self._row_of = catalogue.row_of
        self._rows: list[Int32s] = []
        self.unknown: dict[str, tuple[str, ...]] = {}  # rule id: names that this release does not have
        for rule in self._rules:
            rows, unknown = _rows_of(rule, catalogue)
            self._rows.append(rows)
            if unknown:
                self.unknown[rule.id] = unknown
        ends = {at for rule in self._rules for validity in rule.validity for at in validity.span_ms if at is not None}
        self._changes = sorted(ends)
        self._holding = lru_cache(maxsize=_OCCASIONS)(self._find_holding)
        self._ruling = lru_cache(maxsize=_EFFECTS)(self._rule)

    def ruling(self, occasion: Occasion, now_ms: int) -> Ruling:
        """What holds there and then. The same set of rules gives the same object while it is remembered."""
        return self._ruling(self._holding(occasion, bisect_right(self._changes, now_ms)))

    def conflicts(self, occasion: Occasion, now_ms: int) -> tuple[Conflict, ...]:
        """Where the rules that hold there and then are against each other, by precedence."""
        holding = self._holding(occasion, bisect_right(self._changes, now_ms))
        return (*self._pins(holding)[1], *self._opposed(holding))

    def touching(self, item_id: str, occasion: Occasion, now_ms: int) -> tuple[str, ...]:
        """Ids of the rules that hold there and then and concern an item, by precedence: why it stands where it does."""
        row = self._row_of.get(item_id, NO_ROW)
        holding = self._holding(occasion, bisect_right(self._changes, now_ms))
        return tuple(self._rules[at].id for at in holding if self._concerns(at, row))

    def _concerns(self, at: int, row: int) -> bool:
        rows = self._rows[at]
        place = int(np.searchsorted(rows, row))
        return place < len(rows) and int(rows[place]) == row

    def _find_holding(self, occasion: Occasion, epoch: int) -> tuple[int, ...]:
        """The rules that hold between two changes, as places in ``_rules``."""
        # Spans are half-open, so nothing changes from one end of a span to the next.
        now_ms = self._changes[epoch - 1] if epoch else (self._changes[0] - 1 if self._changes else 0)
        return tuple(
            at for at, rule in enumerate(self._rules) if rule.valid_at(now_ms) and holds_on(rule.scope, occasion)
        )

    def _rule(self, holding: tuple[int, ...]) -> Ruling:
        boost: Floats | None = None
        hidden: Bools | None = None
        for at in holding:
            action = self._rules[at].action
            if isinstance(action, Hide):
                hidden = np.zeros(len(self._row_of), np.bool_) if hidden is None else hidden
                hidden[self._rows[at]] = True
            elif isinstance(action, Boost | Bury):
                boost = np.zeros(len(self._row_of), np.float32) if boost is None else boost
                boost[self._rows[at]] += action.by if isinstance(action, Boost) else -action.by
        return Ruling(Effect(boost, hidden, self._pins(holding)[0]), tuple(self._rules[at].id for at in holding))

    def _pins(self, holding: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], list[Conflict]]:
        """(place from 0, row) of each pin that prevails, and those that do not get what they ask for."""
        hides = [at for at in holding if isinstance(self._rules[at].action, Hide)]
        by_row: dict[int, str] = {}
        by_place: dict[int, tuple[int, str]] = {}
        conflicts: list[Conflict] = []
        for at in holding:
            rule = self._rules[at]
            if not isinstance(rule.action, Pin) or not len(self._rows[at]):
                continue
            row, place, item = int(self._rows[at][0]), rule.action.place - 1, rule.action.item_id
            if (hider := next((other for other in hides if self._concerns(other, row)), None)) is not None:
                conflicts.append(Conflict("hidden_pin", (self._rules[hider].id, rule.id), f"{item!r} stays hidden"))
            elif row in by_row:
                conflicts.append(Conflict("same_item", (by_row[row], rule.id), f"{item!r} stands where the first says"))
            else:
                if place in by_place:
                    holder = by_place[place][1]
                    while place in by_place:
                        place += 1
                    conflicts.append(Conflict("same_place", (holder, rule.id), f"{item!r} goes to place {place + 1}"))
                by_place[place], by_row[row] = (row, rule.id), rule.id
        return tuple((place, row) for place, (row, _) in sorted(by_place.items())), conflicts

    def _opposed(self, holding: tuple[int, ...]) -> list[Conflict]:
        boosts = [at for at in holding if isinstance(self._rules[at].action, Boost)]
        buries = [at for at in holding if isinstance(self._rules[at].action, Bury)]
        return [
            Conflict("opposed", (self._rules[up].id, self._rules[down].id), f"{shared} items are boosted and buried")
            for up in boosts
            for down in buries
            if (shared := len(np.intersect1d(self._rows[up], self._rows[down], assume_unique=True)))
        ]


def _rows_of(rule: Rule, catalogue: Catalogue) -> tuple[Int32s, tuple[str, ...]]:
    """The rows that a rule concerns, ascending, and the names that the catalogue does not know."""
    if isinstance(rule.action, Pin):
        row = catalogue.row_of.get(rule.action.item_id, NO_ROW)
        found = np.array([row] if row != NO_ROW else [], np.int32)
        return found, () if len(found) else (rule.action.item_id,)
    mask, unknown = _mask_of(rule.action.target, catalogue)
    return np.flatnonzero(mask).astype(np.int32), unknown


def _mask_of(target: Target, catalogue: Catalogue) -> tuple[Bools, tuple[str, ...]]:
    """(N,) whom a target means, and the names that the catalogue does not know."""
    mask = np.ones(len(catalogue), np.bool_)
    unknown: list[str] = []
    if target.items:
        rows = catalogue.rows(list(target.items))
        unknown += [item for item, row in zip(target.items, rows.tolist(), strict=True) if row == NO_ROW]
        chosen = np.zeros(len(catalogue), np.bool_)
        chosen[rows[rows != NO_ROW]] = True
        mask &= chosen
    if target.categories:
        names, levels = catalogue.categories
        mask &= np.isin(levels, _codes(target.categories, names, unknown)).any(axis=1)
    if target.brands:
        names, brand = catalogue.brands
        mask &= np.isin(brand, _codes(target.brands, names, unknown))
    for column, values in target.attributes.items():
        if column in catalogue.frame.columns:
            text = catalogue.frame[column].cast(pl.String)
            mask &= text.is_in(list(values)).fill_null(value=False).to_numpy()
        else:
            unknown.append(column)
            mask[:] = False
    return mask, tuple(unknown)


def _codes(wanted: Sequence[str], names: tuple[str, ...], unknown: list[str]) -> list[int]:
    """The codes of names; those that there are not go to ``unknown``."""
    code = {name: at for at, name in enumerate(names)}
    unknown += [name for name in wanted if name not in code]
    return [code[name] for name in wanted if name in code]
