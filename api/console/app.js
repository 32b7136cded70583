/**
 * The demonstration shop: one shopper, the lists that the API answers, and why each item is in them.
 * Everything that comes from the catalogue reaches the page as text nodes and checked URLs, never as markup.
 */

import { address, call, connection, getJson, unreachable, watch } from "./api.js";
import { Cards, forget, itemHash, learn, seen, tile } from "./items.js";
import { $, ago, explain, h, money, newId, remember, remembered, retryFailed, say, tell } from "./page.js";
import { Shelf } from "./shelf.js";

const LIST_SIZE = 12;
const PAGE_SIZE = 24;
const SHOPPERS = 12; // known users to pick from
const HISTORY_SHOWN = 12;
const TRENDING_LAG_MS = 1300; // the API rebuilds a trending list at most once a second
const EVENTS = "v1/events";
const DEEDS = { view: "viewed", add_to_cart: "put into the cart", purchase: "bought", rating: "rated" };

const forYou = new Shelf("for-you", "Nothing to recommend yet.");
const trending = new Shelf("trending", "Nothing is trending here yet.");
const similar = new Shelf("similar", "Nothing is similar enough.");
const together = new Shelf("together", "Nothing has been bought together with this yet.");
const cartShelf = new Shelf("cart-shelf", "Nothing fits yet.");

const loadForYou = () => forYou.load(address("v1/recommendations/home", { user_id: shopper.id, n: LIST_SIZE }));
const loadTrending = () => trending.load(address("v1/trending", { category: browsing.category, n: LIST_SIZE }));

/** Everything that depends on what the shopper just did. */
function loadPersonal() {
  loadForYou();
  loadHistory();
  loadTrending();
  clearTimeout(loadPersonal.again);
  loadPersonal.again = setTimeout(loadTrending, TRENDING_LAG_MS);
}

function loadAll() {
  loadPersonal();
  loadCatalogue();
  loadCategories();
  loadShoppers();
  loadCartShelf();
  if (!open.id) return;
  loadNeighbours(open.id);
  if (open.item) fillItem(open.id, open.abort.signal);
  else openItem(open.id, open.source);
}

/* ── Browsing ─────────────────────────────────────────────────────────── */

const browsing = { category: "", cursor: null, items: [], abort: null, cards: new Cards($("catalogue")) };
const categories = new Map(); // as the API describes them, by path, wider ones first

/** Loads the first page of what was asked for, or the next one. */
async function loadCatalogue({ more = false } = {}) {
  browsing.abort?.abort();
  const abort = (browsing.abort = new AbortController());
  const asked = { q: $("q").value.trim(), category: browsing.category, available: $("in-stock").checked, n: PAGE_SIZE };
  try {
    const { body } = await getJson(address("v1/items", { ...asked, cursor: more ? browsing.cursor : null }), abort.signal);
    browsing.items = more ? [...browsing.items, ...body.items] : body.items;
    browsing.cursor = body.next_cursor;
    browsing.cards.draw(browsing.items);
    if (!browsing.items.length) $("catalogue").replaceChildren(nothingFound(asked));
    $("more").hidden = !body.next_cursor;
    explain($("browse-problem"), null);
    if (more) browsing.cards.byId.get(body.items[0]?.item_id)?.name.focus(); // where reading goes on
    else if (asked.q) say(browsing.items.length ? `${browsing.items.length}${body.next_cursor ? " or more" : ""} items found.` : "Nothing found.");
  } catch (error) {
    if (abort.signal.aborted) return;
    unreachable(error);
    explain($("browse-problem"), error, () => loadCatalogue({ more }));
  }
}

/** What to do where nothing matches: a button for everything that narrows the list. */
function nothingFound({ q, category, available }) {
  const wider = (text, change) => h("button", { type: "button", onclick: () => { change(); $("browse-title").focus({ preventScroll: true }); } }, text);
  const where = category ? ` in ${category.split(" > ").at(-1)}` : "";
  return h("li", { className: "empty" },
    h("p", {}, q ? `Nothing here matches “${q}”${where}. Try fewer or other words: a title, a brand, a type of item.` : `Nothing here${where} now.`),
    h("p", {},
      q ? wider("Clear the search", () => { $("q").value = ""; loadCatalogue(); }) : null,
      category ? wider("Look in everything", () => choose("")) : null,
      available ? wider("Show what is sold out too", () => { $("in-stock").checked = false; loadCatalogue(); }) : null));
}

/** Every category with its size. */
async function loadCategories() {
  try {
    const { body } = await getJson("v1/categories");
    categories.clear();
    for (const one of body.categories) categories.set(one.path, one);
    if (nearest(browsing.category) === browsing.category) drawCategories();
    else choose(nearest(browsing.category)); // another release may have dropped it
    explain($("categories-problem"), null);
  } catch (error) {
    unreachable(error);
    explain($("categories-problem"), error, loadCategories);
  }
}

/** A category, or the narrowest one around it that can be browsed: an item's path may have more levels. */
function nearest(category) {
  while (categories.size && category && !categories.has(category)) category = category.split(" > ").slice(0, -1).join(" > ");
  return category;
}

function drawCategories() {
  const { category } = browsing;
  const levels = category ? category.split(" > ") : [];
  const path = ["", ...levels.map((_, depth) => levels.slice(0, depth + 1).join(" > "))];
  const below = [...categories.values()].filter(({ parent }) => parent === (category || null)).map((one) => one.path);
  const button = (one, current) => h("li", {}, h("button", {
    type: "button", onclick: () => choose(one), ...(current ? { "aria-current": "true" } : {}),
  }, one.split(" > ").at(-1) || "Everything", one ? h("small", {}, ` ${categories.get(one)?.items.toLocaleString("en") ?? ""}`) : null));
  const focused = $("categories").contains(document.activeElement);
  $("categories").firstElementChild.replaceChildren(...path.map((one) => button(one, one === category)), ...below.map((one) => button(one, false)));
  if (focused) $("categories").querySelector("[aria-current]").focus({ preventScroll: true });
}

function choose(category) {
  browsing.category = category;
  const name = category.split(" > ").at(-1);
  $("browse-title").textContent = category ? `Browse ${name}` : "Browse";
  $("trending-title").textContent = category ? `Trending in ${name}` : "Trending";
  drawCategories();
  loadCatalogue();
  loadTrending();
}

/* ── The open item ────────────────────────────────────────────────────── */

const open = { id: null, item: null, source: {}, abort: null };
let arrival = null; // the card that the next opening comes from

function route() {
  const match = location.hash.match(/^#\/item\/(.+)$/);
  let id = null;
  try {
    id = match && decodeURIComponent(match[1]);
  } catch {
    // A broken percent-encoding names no item.
  }
  const source = arrival?.item_id === id ? arrival.source : {};
  arrival = null;
  if (id) openItem(id, source);
  else if (/^#?\/?$/.test(location.hash)) closeItem(); // other fragments are places on this page
}

function closeItem() {
  open.abort?.abort();
  const wasOpen = open.id !== null;
  Object.assign(open, { id: null, item: null });
  $("item").hidden = true;
  document.title = "Endcap shop";
  if (wasOpen) $("main").focus({ preventScroll: true });
}

async function openItem(id, source) {
  open.abort?.abort();
  const abort = new AbortController();
  Object.assign(open, { id, item: null, source, abort });
  $("item").hidden = false;
  $("item-title").textContent = seen.get(id)?.title || id;
  $("item").scrollIntoView(); // what was asked for comes first; "For you" changes below it
  loadNeighbours(id);
  const found = await fillItem(id, abort.signal);
  if (abort.signal.aborted) return;
  if (found) record({ item_id: id, event_type: "view", ...source });
  $("item-title").focus({ preventScroll: true });
}

/** Draws what is known of an item or asks for it; whether there is such an item. */
async function fillItem(id, signal) {
  try {
    const item = seen.get(id) ?? (await getJson(`v1/items/${encodeURIComponent(id)}`, signal)).body;
    learn([item]);
    drawItem(item);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    unreachable(error);
    $("item-tile").replaceChildren();
    for (const part of ["item-facts", "item-price"]) $(part).textContent = "";
    $("item-add").hidden = true;
    explain($("item-problem"), error, () => openItem(open.id, open.source));
    return false;
  }
}

function drawItem(item) {
  open.item = item;
  document.title = `${item.title || item.item_id} · Endcap shop`;
  explain($("item-problem"), null);
  $("item-tile").replaceChildren(tile(item));
  $("item-title").textContent = item.title || item.item_id;
  $("item-price").textContent = money(item.price, item.currency);
  const stock = item.available ? "In stock" : h("span", { className: "gone" }, "Sold out");
  const category = item.category ? h("button", { type: "button", onclick: () => { choose(nearest(item.category)); $("browse").scrollIntoView(); } }, item.category) : null;
  $("item-facts").replaceChildren(...[item.brand ? `${item.brand} · ` : "", stock, ` · ${item.item_id} `, category].filter(Boolean));
  $("item-add").hidden = false;
  $("item-add").disabled = !item.available;
}

function loadNeighbours(id) {
  const path = `v1/items/${encodeURIComponent(id)}`;
  similar.load(address(`${path}/similar`, { n: LIST_SIZE }));
  together.load(address(`${path}/bought-together`, { n: LIST_SIZE }));
}

/* ── Events ───────────────────────────────────────────────────────────── */

const outbox = { events: remembered("outbox", []), sending: false, failed: false };

function keep() {
  remember("outbox", outbox.events);
  const count = outbox.events.length;
  $("waiting").textContent = count && outbox.failed ? `${count} ${count === 1 ? "event waits" : "events wait"} to be sent` : "";
}

/** Notes what the shopper did and sends it. Ids are made here, so that sending again is safe. */
function record(...deeds) {
  // No timestamps: a shopper's clock may be wrong, the server's is not.
  const who = { user_id: shopper.id, session_id: shopper.session };
  outbox.events.push(...deeds.map((deed) => ({ event_id: newId(), ...who, ...deed })));
  keep();
  return flush();
}

async function flush() {
  if (outbox.sending || !outbox.events.length) return;
  outbox.sending = true;
  try {
    while (outbox.events.length) await sendSome(outbox.events.slice(0, 100)); // keepalive bodies are limited to 64 KiB
    outbox.failed = false;
    loadPersonal();
  } catch (error) {
    outbox.failed = true;
    unreachable(error);
  } finally {
    outbox.sending = false;
    keep();
  }
}

async function sendSome(batch) {
  let outcomes = [];
  try {
    const headers = { "content-type": "application/json" };
    const { body } = await call(EVENTS, { method: "POST", headers, body: JSON.stringify({ events: batch }), keepalive: true });
    outcomes = body.events;
  } catch (error) {
    if (error.passing) throw error;
    tell("message", error.message); // refused as a whole: the same again would be refused again
  }
  const refused = outcomes.filter(({ status }) => status === "rejected");
  if (refused.length) tell("message", `The server refused ${refused.length} of ${batch.length} events: ${refused[0].reason}.`);
  const sent = new Set(batch.map(({ event_id }) => event_id));
  outbox.events = outbox.events.filter(({ event_id }) => !sent.has(event_id));
}

addEventListener("pagehide", () => {
  // They stay in the outbox too: if the beacon arrives, the next visit's attempt is only a duplicate.
  if (!outbox.events.length) return;
  const body = JSON.stringify({ events: outbox.events.slice(0, 100) });
  navigator.sendBeacon(EVENTS, new Blob([body], { type: "application/json" }));
});

/* ── Cart ─────────────────────────────────────────────────────────────── */

const cartKey = () => `cart.${shopper.id}`;
const cart = () => remembered(cartKey(), []);

function addToCart(item, source) {
  const { item_id, title, price, currency } = item;
  if (!cart().some((line) => line.item_id === item_id)) remember(cartKey(), [...cart(), { item_id, title, price, currency }]);
  drawCart();
  say(`${title || item_id} is in your cart.`);
  record({ item_id, event_type: "add_to_cart", ...source });
}

function removeFromCart(item_id) {
  remember(cartKey(), cart().filter((line) => line.item_id !== item_id));
  drawCart();
  ($("cart-lines").querySelector("button") ?? $("main")).focus();
}

function buy() {
  const lines = cart();
  remember(cartKey(), []);
  record(...lines.map(({ item_id, price }) => ({ item_id, event_type: "purchase", ...(price === null ? {} : { value: price }) })));
  become(shopper.id, newId()); // an order ends the session: the next basket is another one
  say(`Bought ${lines.length} ${lines.length === 1 ? "item" : "items"}.`);
  $("main").focus({ preventScroll: true });
}

function drawCart() {
  const lines = cart();
  const name = lines.length ? `Cart (${lines.length})` : "Cart";
  for (const id of ["cart-title", "cart-link"]) $(id).textContent = name;
  $("cart-lines").replaceChildren(...lines.map(({ item_id, title, price, currency }) => h("li", {},
    h("a", { href: itemHash(item_id) }, title || item_id), money(price, currency),
    h("button", { type: "button", "aria-label": `Remove ${title || item_id}`, onclick: () => removeFromCart(item_id) }, "Remove"))));
  const sums = new Map();
  for (const { price, currency } of lines) sums.set(currency, (sums.get(currency) ?? 0) + (price ?? 0));
  const total = [...sums].map(([currency, sum]) => money(sum, currency)).join(" + ");
  $("cart-total").textContent = lines.length ? `Total ${total}` : "Your cart is empty.";
  $("buy").hidden = !lines.length;
  loadCartShelf();
}

function loadCartShelf() {
  const ids = cart().map(({ item_id }) => item_id).slice(-20);
  $("cart-shelf").hidden = !ids.length;
  if (ids.length) cartShelf.load(address("v1/recommendations/cart", { user_id: shopper.id, item_id: ids, n: LIST_SIZE }));
}

/* ── Shopper ──────────────────────────────────────────────────────────── */

const shopper = { id: "", session: "" };

function become(id, session = remembered(`session.${id}`, null, "sessionStorage") ?? newId()) {
  Object.assign(shopper, { id, session });
  remember(`session.${id}`, session, "sessionStorage");
  remember("shopper", id);
  const recent = [id, ...remembered("recent", []).filter((one) => one !== id)].slice(0, 8);
  remember("recent", recent);
  $("recent").replaceChildren(...recent.map((one) => h("option", { value: one })));
  $("user").value = id;
  pick(id);
  $("who").textContent = id.startsWith("anon-") ? "A new shopper, known only to this browser." : `Shopper ${id}`;
  drawCart();
}

/** Shows who of the known shoppers this is, if any. */
function pick(id) {
  $("known").value = id;
  if ($("known").selectedIndex < 0) $("known").selectedIndex = 0;
}

/** Fills the choice of known shoppers. Most shops tell nobody who their users are: then ids are typed. */
async function loadShoppers() {
  let users = [];
  try {
    const { body } = await getJson("readyz");
    if (body.shopper_list) users = (await getJson(address("v1/users", { n: SHOPPERS }))).body.users;
  } catch (error) {
    unreachable(error);
  }
  $("known").replaceChildren(
    h("option", { value: "" }, "Pick one…"),
    ...users.map(({ user_id, events }) => h("option", { value: user_id }, `${user_id} · ${events} events`)),
  );
  $("known").hidden = !users.length;
  pick(shopper.id);
}

const anonymous = () => `anon-${newId().slice(0, 13)}`;

function switchTo(id) {
  become(id);
  $("history").replaceChildren();
  loadPersonal();
  say(`You are now ${id}.`);
}

async function loadHistory() {
  loadHistory.abort?.abort();
  const abort = (loadHistory.abort = new AbortController());
  try {
    const { body } = await getJson(`v1/users/${encodeURIComponent(shopper.id)}`, abort.signal);
    const lines = body.events.slice(0, HISTORY_SHOWN).map(({ item_id, title, event_type, timestamp }) => h("li", {},
      h("a", { href: itemHash(item_id) }, title || item_id), h("small", {}, `${DEEDS[event_type] ?? event_type}, ${ago(timestamp)}`)));
    $("history").replaceChildren(...(lines.length ? lines : [h("li", { className: "empty" }, "Nothing yet. Click something.")]));
    explain($("history-problem"), null);
  } catch (error) {
    if (abort.signal.aborted) return;
    unreachable(error);
    explain($("history-problem"), error, loadHistory);
  }
}

/* ── Start ────────────────────────────────────────────────────────────── */

function listen() {
  let typing = 0;
  const search = () => { clearTimeout(typing); loadCatalogue(); };
  $("q").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
  $("search").addEventListener("submit", (event) => { event.preventDefault(); search(); $("browse").scrollIntoView(); if (!$("q").value.trim()) say("Showing everything. Type a title, a brand or a type of item to search."); });
  $("in-stock").addEventListener("change", () => loadCatalogue());
  $("more").addEventListener("click", () => loadCatalogue({ more: true }));
  $("shopper").addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("user").value.trim()) switchTo($("user").value.trim());
  });
  $("known").addEventListener("change", () => $("known").value && switchTo($("known").value));
  $("new-shopper").addEventListener("click", () => switchTo(anonymous()));
  $("item-add").addEventListener("click", () => open.item && addToCart(open.item, open.source));
  $("buy").addEventListener("click", buy);
  $("offline").querySelector("button").addEventListener("click", watch);
  $("message").querySelector("button").addEventListener("click", () => tell("message", ""));
  document.addEventListener("open-item", ({ detail: { item, source } }) => {
    arrival = { item_id: item.item_id, source };
    // The address does not change when the open item is clicked again, so nothing else would notice.
    if (location.hash === itemHash(item.item_id)) route();
  });
  document.addEventListener("add-to-cart", ({ detail: { item, source } }) => addToCart(item, source));
  connection.addEventListener("answered", ({ detail: { back, swapped } }) => {
    if (swapped) forget();
    if (back || swapped) loadAll();
    else retryFailed();
    flush();
  });
  addEventListener("hashchange", route);
  addEventListener("online", watch);
  document.addEventListener("visibilitychange", () => document.hidden || watch());
  // A mistake of this page must not look like a frozen shop.
  addEventListener("error", (event) => tell("message", `Something on this page went wrong: ${event.message}`));
  addEventListener("unhandledrejection", (event) => tell("message", `Something on this page went wrong: ${event.reason}`));
}

function start() {
  listen();
  become(new URLSearchParams(location.search).get("user_id") || remembered("shopper", null) || anonymous());
  loadPersonal();
  loadCatalogue();
  loadCategories();
  loadShoppers();
  watch();
  flush();
  if (location.hash) route();
}

start();
