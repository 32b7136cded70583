"""The shop page in a real browser against the real application, which serves a world with known answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import quote
from uuid import UUID

import polars as pl
import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from api.settings import ApiSettings
from foundation.catalogue import Catalogue
from foundation.testing.api_world import ApiWorld, api_world, item_id
from foundation.testing.browser import errors_of, set_media, set_offline, set_window
from foundation.types import Event

pytestmark = pytest.mark.slow
T = TypeVar("T")
HOSTILE = '<img src=x onerror="window.hacked=1"><b>Bold</b>'


class Server(Protocol):
    """What the tests use of the conftest's server."""

    url: str
    world: ApiWorld

    def events(self) -> list[Event]:
        """What was stored."""

    def publish(self, version: str) -> None:
        """Swap the release."""


class Page:
    """The page as its reader sees it; every question waits until the answer is what was expected."""

    def __init__(self, browser: Chrome, server: Server) -> None:
        self.browser = browser
        self.server = server
        self._wait: WebDriverWait[Chrome] = WebDriverWait(
            browser, 30, poll_frequency=0.05, ignored_exceptions=(StaleElementReferenceException,)
        )

    def visit(self, shopper: str = "", fragment: str = "") -> Page:
        """Open the page and wait until its lists are filled."""
        self.browser.get(self.server.url + (f"?user_id={quote(shopper)}" if shopper else "") + fragment)
        for area in ("#for-you", "#trending", "#catalogue"):
            self.shows_cards(area)
        return self

    def shows_cards(self, area: str) -> None:
        """Wait until a list has items."""
        self.until(lambda: self.names(area))

    def shopper(self) -> str:
        """Who the page says is looking at it."""
        return self.one("#user").get_attribute("value") or ""

    def until(self, condition: Callable[[], T]) -> T:
        """Wait for a true answer."""
        return self._wait.until(lambda _: condition())

    def one(self, selector: str) -> WebElement:
        """The first element of a selector."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All elements of a selector."""
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements of a selector, at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        found: list[str] = self.browser.execute_script(script, selector)
        return found

    def names(self, area: str) -> list[str]:
        """The titles of a list, in order."""
        return self.texts(f"{area} .card .name")

    def shows(self, selector: str, text: str) -> None:
        """Wait until the first element of a selector says something."""
        self.until(lambda: any(text in found for found in self.texts(selector)[:1]))

    def click(self, selector: str, at: int = 0) -> None:
        """Click as a reader does; what is outside the view is scrolled to."""
        element = self.all(selector)[at]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", element)
        element.click()

    def focused(self) -> str:
        """The id, name or text of the element that has the focus."""
        script = "const e = document.activeElement; return e.id || e.textContent || e.tagName"
        found: str = self.browser.execute_script(script)
        return found

    def stored(self, count: int) -> list[Event]:
        """Wait until this many events are stored."""
        self.until(lambda: len(self.server.events()) >= count)
        return self.server.events()


@pytest.fixture
def page(browser: Chrome, shop: Server) -> Page:
    """The page over the usual world, not opened yet."""
    return Page(browser, shop)


def title(row: int) -> str:
    """What the world calls an item."""
    return f"Item {row} of shelf {row // 10}"


def test_the_page_loads_without_complaint(page: Page) -> None:
    """A first visit fills every list, names the release, and the console (policy violations too) stays silent."""
    page.visit()
    page.shows("#health", "Ready · release v1")
    assert page.names("#trending")[:3] == [title(5), title(15), title(25)]
    assert page.names("#catalogue")[:2] == [title(39), title(38)]
    assert len(page.names("#for-you")) == 12
    assert page.shopper().startswith("anon-")
    page.shows("#history", "Nothing yet")
    assert errors_of(page.browser) == []


def test_a_chosen_shopper_gets_their_own_list_and_history(page: Page) -> None:
    """Switching to a known shopper shows that shopper's list, why each item is there, and what they did."""
    page.visit()
    page.one("#user").clear()
    page.one("#user").send_keys("ann", Keys.ENTER)
    page.until(lambda: page.names("#for-you")[:1] == [title(10)])
    page.shows("#for-you .why", f"Because of your interest in {title(12)}")
    page.until(lambda: page.texts("#history a") == [title(12), title(10)])
    assert [text.split(",")[0] for text in page.texts("#history small")] == ["bought", "viewed"]
    page.click("#for-you summary")
    assert "computed for this shopper, now" in page.one("#for-you dl").text
    assert page.all("#for-you svg.stages rect")
    assert "/v1/recommendations/home?user_id=ann" in (page.one("#for-you details a").get_attribute("href") or "")


def test_a_known_shopper_can_be_picked(page: Page) -> None:
    """The picker offers the release's shoppers with how much is known of them; picking one switches to them."""
    page.visit("bob")
    page.until(lambda: page.one("#known").is_displayed())
    assert page.texts("#known option") == ["Pick one…", "ann · 9 events", "zoë & co/1 · 60 events"]
    picker = Select(page.one("#known"))
    assert picker.first_selected_option.text == "Pick one…"
    picker.select_by_value("ann")
    page.until(lambda: page.names("#for-you")[:1] == [title(10)])
    page.until(lambda: page.texts("#history a") == [title(12), title(10)])
    assert page.shopper() == "ann"
    picker.select_by_value("zoë & co/1")
    page.shows("#history", "Nothing yet")
    page.click("#new-shopper")
    assert picker.first_selected_option.text == "Pick one…"
    assert page.shopper().startswith("anon-")


def test_a_shop_that_names_nobody_takes_typed_ids(serve: Callable[..., Server], browser: Chrome) -> None:
    """Where the API keeps its users to itself there is no picker, no complaint on the page and none in the console."""
    page = Page(browser, serve(api_world(), ApiSettings(deadline_ms=30_000, store_deadline_ms=30_000))).visit("ann")
    page.until(lambda: page.names("#for-you")[:1] == [title(10)])
    page.until(lambda: page.texts("#categories button") == ["Everything", "Shop 40"])
    assert not page.one("#known").is_displayed()
    assert [box.text for box in page.all(".problem, [role=alert]") if box.is_displayed()] == []
    assert errors_of(browser) == []


def test_an_add_to_cart_moves_trending_at_once(page: Page) -> None:
    """A look at an item leaves Trending as it is; putting it into the cart moves it up or in, marked and announced."""
    page.visit("bob")
    before = [title(row) for row in (5, 15, 25, 39, 38, 37, 36, 35, 34, 33, 32, 31)]  # filled with popular items
    assert page.names("#trending") == before
    page.click("#trending .card .name", at=5)
    page.until(lambda: page.names("#for-you")[:1] == [title(30)])
    page.until(lambda: len(page.texts("#history a")) == 1)
    assert page.names("#trending") == before
    page.click("#item-add")
    page.until(lambda: page.names("#trending") == [*before[:3], title(37), title(39), title(38), *before[6:]])
    assert page.texts("#trending .moved .name") == [title(37)]
    assert page.texts("#trending .moved .badge") == ["Up 2"]
    page.shows("#live", "Trending changed: 0 of 12 moved in, 1 moved up.")
    page.click("#catalogue .card button", at=19)
    page.until(lambda: page.texts("#trending .moved .name") == [title(20)])
    assert page.texts("#trending .moved .badge") == ["Moved in"]


def test_a_new_shopper_has_a_fresh_id_that_lasts(page: Page) -> None:
    """Each click on "New shopper" makes another id; the last one is still there after a reload."""
    page.visit()
    first = page.shopper()
    page.click("#new-shopper")
    second = page.shopper()
    assert second.startswith("anon-")
    assert first != second
    page.visit()
    assert page.shopper() == second


def test_a_click_is_a_view_and_changes_the_list_at_once(page: Page) -> None:
    """Opening an item sends one view that says where it was clicked; "For you" then changes, marked and explained."""
    page.visit("bob")
    page.click("#trending .card .name", at=2)
    (view,) = page.stored(1)
    assert (view.user_id, view.item_id, view.event_type) == ("bob", item_id(25), "view")
    assert (view.surface, view.position) == ("trending", 3)
    assert (view.recommendation_id or "").startswith("o_")
    assert UUID(view.event_id).version == 4
    page.until(lambda: page.names("#for-you")[:2] == [title(20), title(21)])
    page.shows("#for-you .why", f"Because of your interest in {title(25)}")
    page.shows("#live", "For you changed")
    page.shows("#for-you .change", "Changed just now: ")
    entered, shown = (int(word) for word in re.findall(r"\d+", page.one("#for-you .change").text)[:2])
    badges = page.texts("#for-you .badge").count("Moved in")
    assert badges == (entered if entered * 2 <= shown else 0), "on most cards at once the badge would tell nothing"
    page.until(lambda: page.texts("#history a") == [title(25)])
    assert errors_of(page.browser) == []


def test_an_open_item_shows_what_is_near_it(page: Page) -> None:
    """An item's page has its facts, similar items and those bought with it, each with the reason in words."""
    page.visit(fragment=f"#/item/{item_id(25)}")
    page.until(lambda: page.names("#similar")[:2] == [title(20), title(21)])
    page.until(lambda: page.names("#together")[:1] == [title(35)])
    page.shows("#similar .why", f"Similar to {title(25)}")
    page.shows("#together .why", f"Often bought with {title(25)}")
    assert page.one("#item-title").text == title(25)
    assert page.one("#item-price").text == "€26.00"
    assert "In stock" in page.one("#item-facts").text
    assert page.browser.title.startswith(title(25))
    page.browser.back()
    page.visit(fragment=f"#/item/{item_id(7)}")
    page.shows("#item-facts", "Sold out")
    assert not page.one("#item-add").is_enabled()


def test_a_cart_is_bought_as_one_session(page: Page) -> None:
    """Buying sends a purchase of each item in the cart, in one session and at its price, and empties the cart."""
    page.visit("bob")
    for at, count in ((0, 1), (1, 2)):
        page.click("#trending .card button", at=at)
        page.stored(count)
    page.shows("#cart-link", "Cart (2)")
    page.until(lambda: page.names("#cart-shelf"))
    assert page.one("#cart-total").text == "Total €22.00"
    page.click("#buy")
    events = page.stored(4)
    assert [(e.event_type, e.item_id) for e in events[:2]] == [("add_to_cart", "i-05"), ("add_to_cart", "i-15")]
    assert [e.position for e in events[:2]] == [1, 2]
    assert [(e.event_type, e.item_id, e.value) for e in events[2:]] == [
        ("purchase", "i-05", 6.0),
        ("purchase", "i-15", 16.0),
    ]
    assert len({e.session_id for e in events}) == 1
    page.shows("#cart-total", "Your cart is empty")
    page.until(lambda: len(page.texts("#history a")) == 4)
    page.click("#catalogue .card button")
    assert page.stored(5)[4].session_id != events[0].session_id, "the next basket is another session"


def test_browsing_narrows_and_pages_without_repeats(page: Page) -> None:
    """Search, category and "Show more" work together; no item comes twice, and sold-out ones only when asked for."""
    page.visit()
    page.click("#more")
    page.until(lambda: len(page.names("#catalogue")) == 39)
    assert len(set(page.names("#catalogue"))) == 39
    assert not page.one("#more").is_displayed()
    page.click("#in-stock")
    page.until(lambda: len(page.names("#catalogue")) == 24)
    page.click("#categories li:nth-child(2) button")
    shelves = [f"Shelf {shelf} 10" for shelf in range(4)]
    page.until(lambda: page.texts("#categories button") == ["Everything", "Shop 40", *shelves])
    page.click("#categories li:nth-child(5) button")
    page.until(lambda: set(page.names("#catalogue")) == {title(row) for row in range(20, 30)})
    page.until(lambda: page.names("#trending")[0] == title(28))
    assert page.one("#trending-title").text == "Trending in Shelf 2"
    page.one("#q").send_keys("item 27")
    page.until(lambda: page.names("#catalogue") == [title(27)])
    page.one("#q").send_keys(" nowhere")
    page.shows("#catalogue", "Nothing here matches “item 27 nowhere” in Shelf 2")
    page.click("#catalogue .empty button")
    page.until(lambda: set(page.names("#catalogue")) == {title(row) for row in range(20, 30)})
    assert page.focused() == "browse-title"


def test_a_hostile_catalogue_is_inert(serve: Callable[..., Server], browser: Chrome) -> None:
    """Markup in a title is text, and a script in an image's address is no image."""
    world = api_world()
    at = pl.int_range(pl.len()) == 10
    frame = world.catalogue.frame.with_columns(
        pl.when(at).then(pl.lit(HOSTILE)).otherwise("title").alias("title"),
        pl.when(at).then(pl.lit("javascript:window.hacked=1")).otherwise("image_url").alias("image_url"),
    )
    world.catalogue = Catalogue.of(frame, world.catalogue.regions)
    page = Page(browser, serve(world)).visit("ann", fragment=f"#/item/{item_id(10)}")
    page.until(lambda: page.texts("#history a")[:1] == [HOSTILE])
    assert page.names("#for-you")[0] == HOSTILE
    assert page.one("#item-title").text == HOSTILE
    assert page.texts("main b, main img, aside b") == []
    assert browser.execute_script("return window.hacked") is None
    assert errors_of(browser) == []


def test_a_cut_network_leaves_the_lists_and_loses_no_event(page: Page) -> None:
    """Without a connection the last lists stay, a notice says so, and what was done is sent once it is back."""
    page.visit("bob")
    page.shows("#health", "Ready")
    before = page.names("#for-you")
    set_offline(page.browser, offline=True)
    page.click("#for-you .card .name")
    page.until(lambda: page.one("#offline").is_displayed())
    page.shows("#offline p", "keeps trying")
    page.shows("#waiting", "1 event waits")
    assert page.names("#for-you") == before
    assert page.server.events() == []
    set_offline(page.browser, offline=False)
    (view,) = page.stored(1)
    assert (view.event_type, view.surface, view.position) == ("view", "home", 1)
    page.until(lambda: not page.one("#offline").is_displayed())
    page.shows("#health", "Ready")
    page.until(lambda: page.names("#similar"))
    assert page.texts("#waiting") == [""]


def test_a_hot_swap_is_noticed(page: Page) -> None:
    """When another release comes into service the page says so and asks for every list again."""
    page.visit("bob", fragment=f"#/item/{item_id(25)}")
    page.shows("#health", "Ready · release v1")
    page.until(lambda: page.names("#similar"))
    page.server.publish("v2")
    page.browser.execute_script("dispatchEvent(new Event('online'))")  # look now, not at the next poll
    page.shows("#health", "release v2 replaced v1")
    for area in ("#for-you", "#trending", "#similar"):
        page.shows(f"{area} summary", "release v2")


def test_a_degraded_list_says_so(page: Page) -> None:
    """When ranking fails the list comes from a lower rung, and the page tells which and why."""

    def fail(_: str) -> None:
        raise RuntimeError("the ranker is away")

    page.server.world.ranker.before = fail
    page.visit("ann")
    page.shows("#for-you summary", "user list")
    page.shows("#for-you summary", "degraded")
    page.click("#for-you summary")
    assert "the personalised rung was passed over (error)" in page.one("#for-you dl").text
    assert page.texts("#for-you .why")[0] == "From the list prepared for you"


def test_a_problem_is_told_in_the_servers_words(page: Page) -> None:
    """An unknown item leaves the rest of the page alone and shows the problem's detail; the shop goes on."""
    page.visit("bob", fragment="#/item/none%2Fsuch")
    page.shows("#item-problem", "there is no item 'none/such' in release v1")
    assert len(page.names("#for-you")) == 12
    page.click("#trending .card .name")
    page.shows("#item-title", title(5))
    assert not page.one("#item-problem").is_displayed()
    assert [event.item_id for event in page.stored(1)] == [item_id(5)]


def test_an_event_waits_for_the_stream(page: Page) -> None:
    """While events cannot be stored they wait, are counted and sent again; the lists go on as if nothing were."""
    page.server.world.stream.fail = {"append"}
    page.visit("bob")
    page.click("#trending .card button")
    page.shows("#waiting", "1 event waits")
    assert not page.one("#offline").is_displayed()
    page.server.world.stream.fail = False
    page.browser.execute_script("dispatchEvent(new Event('online'))")
    assert [event.item_id for event in page.stored(1)] == [item_id(5)]
    page.until(lambda: page.texts("#waiting") == [""])


def test_leaving_sends_what_waits_once(page: Page) -> None:
    """An event that still waits is sent while the reader leaves; the next visit sends it again, which adds nothing."""
    page.server.world.stream.fail = {"append"}
    page.visit("bob")
    page.click("#trending .card button")
    page.shows("#waiting", "1 event waits")
    page.server.world.stream.fail = False
    page.browser.get("about:blank")
    page.stored(1)
    page.visit()
    page.until(lambda: page.browser.execute_script("return localStorage['endcap.outbox']") == "[]")
    assert [event.item_id for event in page.server.events()] == [item_id(5)]


def test_the_keyboard_is_enough(page: Page) -> None:
    """Tab reaches the skip link first and it skips; Enter opens an item, whose heading then has the focus."""
    page.visit("bob")

    def press(*keys: str) -> None:
        ActionChains(page.browser).send_keys(*keys).perform()

    press(Keys.TAB)
    assert page.focused() == "Skip to the shop"
    press(Keys.ENTER)
    page.until(lambda: page.focused() == "main")
    press(Keys.TAB)
    first = page.names("#for-you")[0]
    assert page.focused() == first
    press(Keys.ENTER)
    page.until(lambda: page.focused() == "item-title")
    assert page.one("#item-title").text == first
    press(Keys.TAB, Keys.TAB, Keys.ENTER)  # past the category, to the cart
    page.shows("#cart-link", "Cart (1)")
    press(Keys.TAB, Keys.ENTER)
    page.until(lambda: not page.one("#item").is_displayed())


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page) -> None:
    """At 360 pixels, with an item and a list's details open, only lists scroll sideways, never the page."""
    set_window(page.browser, 360, 740)
    page.visit("ann", fragment=f"#/item/{item_id(25)}")
    page.until(lambda: page.names("#similar"))
    page.click("#for-you summary")
    page.click("#trending .card button")
    page.until(lambda: page.names("#cart-shelf"))
    root = "const root = document.documentElement; return [innerWidth, root.scrollWidth - root.clientWidth]"
    assert page.browser.execute_script(root) == [360, 0]


def test_an_opened_product_comes_first(page: Page) -> None:
    """Wide or narrow, from far below: the product is at the top of the view, under the strip, with the focus."""
    for width in (1300, 360):
        set_window(page.browser, width, 740)
        page.visit("bob")
        page.click("#catalogue .card .name", at=20)
        page.until(lambda: page.focused() == "item-title")
        place = "return arguments[0].getBoundingClientRect().top"
        assert 0 <= page.browser.execute_script(place, page.one("#item")) <= 80


def test_the_cart_can_be_reached_on_a_phone(page: Page) -> None:
    """Deep in the list the link to the cart is still in view, and leads there."""
    set_window(page.browser, 360, 740)
    page.visit("bob")
    page.browser.execute_script("arguments[0].scrollIntoView()", page.one("#browse"))
    page.click("#catalogue .card button")
    page.shows("#cart-link", "Cart (1)")
    page.one("#cart-link").click()  # refused by the driver where it is out of view or covered
    place = "return arguments[0].getBoundingClientRect().top"
    page.until(lambda: 0 <= page.browser.execute_script(place, page.one("#cart")) < 700)


def test_calm_readers_get_no_motion(page: Page) -> None:
    """With reduced motion a change is marked by its badge, and nothing on the page is animated."""
    set_media(page.browser, prefers_reduced_motion="reduce")
    page.visit("bob")
    page.browser.execute_script(
        "window.moved = []; document.addEventListener('animationstart', (e) => moved.push(e.animationName));"
        "const play = Element.prototype.animate;"
        "Element.prototype.animate = function (...all) { moved.push('slide'); return play.apply(this, all); };"
    )
    page.click("#trending .card .name", at=2)
    page.shows("#for-you .change", "Changed just now")
    assert page.browser.execute_script("return [moved, document.getAnimations().length]") == [[], 0]
