"""Rules against the tiny shop: whom they mean, who prevails, and what a new one would change."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from foundation.rules import Action, Boost, Bury, Hide, Occasion, Pin, Rule, Scope, Target, Validity
from foundation.testing.worlds import Item, tiny_catalogue
from foundation.types import Ranked
from ranking.rerank import (
    Change,
    Conflict,
    Effect,
    ItemArrays,
    Preview,
    RerankBatch,
    Reranker,
    RerankSettings,
    RuleBook,
    preview,
    seeds_of,
)

HOME = Occasion(surface="home")
NOON = 1_780_315_200_000  # 2026-06-01T12:00Z


def book(*rules: Rule) -> RuleBook:
    """Rules against the tiny shop."""
    return RuleBook(rules, tiny_catalogue())


def rule(name: str, action: Action, priority: int = 0, scope: Scope = Scope()) -> Rule:  # noqa: B008 - it is frozen
    """A rule that always holds."""
    return Rule(id=name, action=action, priority=priority, scope=scope)


def hidden_by(target: Target) -> set[Item]:
    """Whom a target means."""
    effect = book(rule("r", Hide(target=target))).ruling(HOME, NOON).effect
    assert effect.hidden is not None
    return {Item(row) for row in np.flatnonzero(effect.hidden).tolist()}


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        (Target(items=("tea", "kite")), {Item.TEA, Item.KITE}),
        (Target(categories=("Home > Lighting",)), {Item.LAMP, Item.BULB}),
        (Target(categories=("Toys", "Grocery > Drinks > Tea")), {Item.KITE, Item.TEA}),
        (Target(brands=("Arbor",)), {Item.MUG_RED, Item.MUG_BLUE, Item.MUG_GREEN, Item.KITE}),
        (Target(brands=("Arbor",), categories=("Toys",)), {Item.KITE}),
        (Target(attributes={"colour": ("red", "white")}), {Item.MUG_RED, Item.KITE, Item.BULB}),
        (Target(attributes={"price": ("9.0",)}), {Item.MUG_BLUE}),
        (Target(items=("tea", "lamp"), brands=("Cosima",), attributes={"colour": ("green",)}), {Item.TEA}),
    ],
)
def test_a_target_means_these_items(target: Target, meant: set[Item]) -> None:
    """Any value of a field, all of the fields; a category with all below; a brand's name is not looked for in ''."""
    assert hidden_by(target) == meant


def test_names_that_a_release_does_not_have_are_told_and_do_nothing() -> None:
    """A rule outlives the items it was made for; the others of its names still count."""
    rules = book(
        rule("a", Hide(target=Target(items=("tea", "gone"), brands=("Cosima", "Nobody")))),
        rule("b", Pin(item_id="lost", place=1)),
        rule("c", Hide(target=Target(attributes={"size": ("xl",)}))),
        rule("d", Boost(target=Target(categories=("Home",)), by=1)),
    )
    assert rules.unknown == {"a": ("gone", "Nobody"), "b": ("lost",), "c": ("size",)}
    effect = rules.ruling(HOME, NOON).effect
    assert effect.hidden is not None
    assert np.flatnonzero(effect.hidden).tolist() == [Item.TEA]
    assert effect.pins == ()


def test_boosts_and_buries_add_up() -> None:
    """Of an item with two boosts and a bury all three count; who is meant by none keeps 0."""
    effect = (
        book(
            rule("a", Boost(target=Target(brands=("Arbor",)), by=0.5)),
            rule("b", Boost(target=Target(items=("mug-red", "tea")), by=0.25), priority=-5),
            rule("c", Bury(target=Target(categories=("Home > Kitchen",)), by=1.0)),
        )
        .ruling(HOME, NOON)
        .effect
    )
    assert effect.boost is not None
    found = {Item(row): float(value) for row, value in enumerate(effect.boost) if value}
    assert found == {
        Item.MUG_RED: -0.25,
        Item.MUG_BLUE: -0.5,
        Item.MUG_GREEN: -0.5,
        Item.KETTLE: -1.0,
        Item.KITE: 0.5,
        Item.TEA: 0.25,
    }
    assert effect.hidden is None


def test_no_rule_costs_nothing() -> None:
    """Without a rule that holds there are no arrays to look at."""
    rules = book(rule("a", Pin(item_id="tea", place=1), scope=Scope(surfaces=("cart",))))
    assert rules.ruling(HOME, NOON).effect == Effect()
    assert rules.ruling(HOME, NOON).rules == ()
    assert rules.ruling(Occasion(surface="cart"), NOON).effect.pins == ((0, Item.TEA),)


def test_conflicts_are_settled_by_priority_then_id_and_told() -> None:
    """The same place, the same item, a hidden pin, opposed boosts: one prevails, and both are named."""
    rules = book(
        rule("low", Pin(item_id="tea", place=2)),
        rule("also", Pin(item_id="lamp", place=2)),
        rule("top", Pin(item_id="mug-red", place=2), priority=7),
        rule("again", Pin(item_id="mug-red", place=5), priority=6),
        rule("third", Pin(item_id="bulb", place=3), priority=1),
        rule("void", Pin(item_id="kite", place=1), priority=99),
        rule("no-toys", Hide(target=Target(categories=("Toys",))), priority=-9),
        rule("up", Boost(target=Target(brands=("Arbor",)), by=1)),
        rule("down", Bury(target=Target(categories=("Home > Kitchen > Mugs",)), by=1)),
    )
    ruling = rules.ruling(HOME, NOON)
    assert ruling.rules == ("void", "top", "again", "third", "also", "down", "low", "up", "no-toys")
    assert ruling.effect.pins == ((1, Item.MUG_RED), (2, Item.BULB), (3, Item.LAMP), (4, Item.TEA))
    assert rules.conflicts(HOME, NOON) == (
        Conflict("hidden_pin", ("no-toys", "void"), "'kite' stays hidden"),
        Conflict("same_item", ("top", "again"), "'mug-red' stands where the first says"),
        Conflict("same_place", ("top", "also"), "'lamp' goes to place 4"),
        Conflict("same_place", ("top", "low"), "'tea' goes to place 5"),
        Conflict("opposed", ("up", "down"), "3 items are boosted and buried"),
    )


def test_the_order_of_the_file_does_not_matter() -> None:
    """Rules are a set: whichever way they are listed, the same prevail."""
    rules = [rule(name, Pin(item_id=item, place=1)) for name, item in (("b", "tea"), ("a", "lamp"), ("c", "bulb"))]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        pins = book(*(rules[at] for at in order)).ruling(HOME, NOON).effect.pins
        assert pins == ((0, Item.LAMP), (1, Item.TEA), (2, Item.BULB))


def test_rules_begin_and_end_by_themselves() -> None:
    """One book answers for every moment: before, in and after a span, to the millisecond."""
    start, until = (datetime(2026, 6, 1, hour, tzinfo=UTC) for hour in (10, 14))
    rules = book(
        Rule(id="lunch", action=Pin(item_id="tea", place=1), validity=(Validity(start=start, until=until),)),
        Rule(id="later", action=Pin(item_id="lamp", place=2), validity=(Validity(start=until),)),
        Rule(id="off", action=Pin(item_id="bulb", place=3), enabled=False),
    )
    ten, two = NOON - 2 * 3_600_000, NOON + 2 * 3_600_000
    holding = {now: rules.ruling(HOME, now).rules for now in (0, ten - 1, ten, NOON, two - 1, two, 10**15)}
    assert list(holding.values()) == [(), (), ("lunch",), ("lunch",), ("lunch",), ("later",), ("later",)]


def test_equal_sets_of_rules_share_their_arrays() -> None:
    """Another region in which the same rules hold makes no second pair of N arrays."""
    rules = book(rule("a", Hide(target=Target(items=("tea",)))))
    assert rules.ruling(HOME, NOON) is rules.ruling(Occasion(surface="cart", region="south"), NOON + 1)


def test_which_rules_touch_an_item() -> None:
    """By precedence, of those that hold; an item of none and an unknown item have none."""
    rules = book(
        rule("mugs", Boost(target=Target(categories=("Home > Kitchen > Mugs",)), by=1)),
        rule("arbor", Bury(target=Target(brands=("Arbor",)), by=1), priority=3),
        rule("cart", Pin(item_id="mug-red", place=1), scope=Scope(surfaces=("cart",))),
    )
    touched = {item: rules.touching(item, HOME, NOON) for item in ("mug-red", "kite", "tea", "never")}
    assert touched == {"mug-red": ("arbor", "mugs"), "kite": ("arbor",), "tea": (), "never": ()}


def test_preview_tells_what_came_moved_and_left() -> None:
    """By place in the new list, then what left by its old place; places count from 1."""
    assert preview(["a", "b", "c", "d"], ["a", "x", "b", "c"]) == Preview(
        (Change("x", None, 2), Change("b", 2, 3), Change("c", 3, 4), Change("d", 4, None)), unchanged=1
    )
    assert preview(["a", "b"], ["a", "b"]) == Preview((), unchanged=2)
    assert preview([], ["a"]) == Preview((Change("a", None, 1),), unchanged=0)
    assert preview(["b", "a"], []) == Preview((Change("b", 1, None), Change("a", 2, None)), unchanged=0)


def test_a_rule_is_tried_before_it_is_saved() -> None:
    """From rules to the difference that they make in one list: hidden goes, pinned comes, boosted rises."""
    catalogue = tiny_catalogue()
    size = len(catalogue)
    shop = ItemArrays(catalogue.categories[1], catalogue.brands[1], np.eye(size, dtype=np.float32))
    order = [Item.TEA, Item.LAMP, Item.MUG_RED, Item.BULB, Item.MUG_BLUE]
    rows = np.array([order, order], np.int32)
    scores = np.tile(np.array([4, 3, 2, 1, 0], np.float32), (2, 1))
    rules = book(
        rule("a", Boost(target=Target(items=("mug-blue",)), by=0.8)),
        rule("b", Hide(target=Target(items=("lamp",)))),
        rule("c", Pin(item_id="kettle", place=2)),
        rule("d", Pin(item_id="kite", place=1)),  # sold out
    )
    asked = RerankBatch(
        np.full(2, 4, np.int32),
        seeds_of(["one", "other"]),
        eligible=(catalogue.available, catalogue.available),
        effects=(Effect(), rules.ruling(HOME, NOON).effect),
    )
    answer = Reranker(shop, RerankSettings())(Ranked(rows, scores, rows, rows), asked)
    before, after = ([catalogue.item_ids[row] for row in line] for line in answer.rows.tolist())
    assert (before, after) == (["tea", "lamp", "mug-red", "bulb"], ["tea", "kettle", "mug-blue", "mug-red"])
    assert preview(before, after) == Preview(
        (
            Change("kettle", None, 2),
            Change("mug-blue", None, 3),
            Change("mug-red", 3, 4),
            Change("lamp", 2, None),
            Change("bulb", 4, None),
        ),
        unchanged=1,
    )
