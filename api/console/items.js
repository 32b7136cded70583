/** Items: what is known of them, how they are drawn, and lists of them that change in place. */

import { getJson } from "./api.js";
import { h, money, svg } from "./page.js";

const REASONS = {
  because_of_item: (it) => `Because of your interest in ${it ?? "what you looked at"}`,
  for_your_taste: () => "Fits your taste",
  bought_before: () => "You bought this before",
  seen_before: () => "You looked at this before",
  similar_to: (it) => `Similar to ${it ?? "this item"}`,
  bought_together: (it) => `Often bought with ${it ?? "this item"}`,
  trending: () => "Trending in the shop now",
  popular: () => "Popular in the shop",
  your_list: () => "From the list prepared for you",
  ranked: () => "Ranked for you",
};

export const seen = new Map(); // every item that any answer held, by id
const titles = new Map(); // promises of titles that no answer has held yet

export function learn(items) {
  for (const item of items) seen.set(item.item_id, item);
}

/** Another release may describe the same items differently. */
export function forget() {
  seen.clear();
  titles.clear();
}

async function titleOf(id) {
  if (seen.has(id)) return seen.get(id).title || id;
  if (!titles.has(id)) titles.set(id, getJson(`v1/items/${encodeURIComponent(id)}`).then(({ body }) => body.title || id, () => id));
  return titles.get(id);
}

export const itemHash = (id) => `#/item/${encodeURIComponent(id)}`;

function hashOf(text) {
  let value = 2166136261; // FNV-1a
  for (const character of text) value = Math.imul(value ^ character.codePointAt(0), 16777619);
  value = Math.imul(value ^ (value >>> 15), 2246822519); // neighbours in the alphabet end far apart
  return (value ^ (value >>> 13)) >>> 0;
}

/** A drawing instead of a photo: colour by category, shapes by item, so that an item always looks the same. */
function drawing(item) {
  const hue = hashOf(item.category) % 360;
  const draw = hashOf(item.item_id);
  const circle = (shift, light) => svg("circle", {
    cx: (draw >>> shift) % 160, cy: (draw >>> (shift + 5)) % 100, r: 25 + ((draw >>> (shift + 3)) % 40),
    fill: `hsl(${hue + 25} 45% ${light}%)`, opacity: 0.7,
  });
  const letter = svg("text", {
    x: 80, y: 52, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 46, "font-weight": 600,
    "font-family": "Georgia, serif", fill: `hsl(${hue} 60% 16%)`,
  }, [...(item.title || item.item_id)][0].toUpperCase());
  return svg("svg", { viewBox: "0 0 160 100", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" },
    svg("rect", { width: 160, height: 100, fill: `hsl(${hue} 42% 74%)` }), circle(2, 82), circle(11, 66), letter);
}

export function tile(item) {
  const box = h("div", { className: "tile" });
  const url = item.image_url && URL.canParse(item.image_url, location.href) ? new URL(item.image_url, location.href) : null;
  if (url && (url.protocol === "https:" || url.origin === location.origin)) {
    const fallBack = () => box.replaceChildren(drawing(item));
    box.append(h("img", { alt: "", loading: "lazy", referrerPolicy: "no-referrer", onerror: fallBack, src: url.href }));
  } else {
    box.append(drawing(item));
  }
  return box;
}

/**
 * One item of a list; it lives as long as the item stays there, so focus and position survive updates.
 * Dispatches "open-item" and "add-to-cart", which bubble.
 */
class Card {
  constructor(item, list) {
    this.name = h("a", { className: "name", href: itemHash(item.item_id), onclick: () => this.tell("open-item") });
    this.price = h("p", { className: "price" });
    this.why = h("p", { className: "why" });
    this.badge = h("span", { className: "badge" });
    this.add = h("button", { type: "button", onclick: () => this.tell("add-to-cart") });
    this.node = h("li", { className: "card" }, tile(item), this.badge, this.name, this.price, this.why, this.add);
    this.list = list;
  }

  update(item, place) {
    this.item = item;
    this.place = place;
    this.name.textContent = item.title || item.item_id;
    this.price.replaceChildren(money(item.price, item.currency), ...(item.available ? [] : [" ", h("span", { className: "gone" }, "Sold out")]));
    this.add.textContent = "Add to cart";
    this.add.setAttribute("aria-label", `Add ${item.title || item.item_id} to cart`);
    this.add.disabled = !item.available;
    if (item.reason) this.reason(item.reason);
  }

  /** Says that the item came into the list (Infinity), rose by some places, or neither (0). */
  mark(move) {
    this.badge.textContent = move === Infinity ? "Moved in" : move > 0 ? `Up ${move}` : "";
    this.node.classList.remove("moved");
    if (move <= 0) return;
    void this.node.offsetWidth; // a layout in between, or the highlight would not start again
    this.node.classList.add("moved");
  }

  async reason({ code, item_id: because }) {
    const words = REASONS[code] ?? (() => code);
    this.why.textContent = words(because === undefined ? undefined : seen.get(because)?.title || because);
    if (because !== undefined && !seen.has(because)) this.why.textContent = words(await titleOf(because));
    this.why.title = this.why.textContent;
  }

  /** Where a click on this card came from, as events report it. */
  source() {
    const { surface, recommendation_id } = this.list.answer ?? {};
    return recommendation_id ? { surface, recommendation_id, position: this.place } : { surface: "browse" };
  }

  tell(name) {
    this.node.dispatchEvent(new CustomEvent(name, { bubbles: true, detail: { item: this.item, source: this.source() } }));
  }
}

/** Cards by item id inside one list element; draws changes in place. */
export class Cards {
  constructor(element) {
    this.element = element;
    this.byId = new Map();
    this.answer = null;
  }

  /** Shows items in order; with ``compare`` marks what came in or rose. Returns how many of each. */
  draw(items, { compare = false } = {}) {
    learn(items);
    const places = new Map([...this.byId].map(([id, card]) => [id, card.place]));
    // The same order once more is no news, and what was marked a moment ago stays marked.
    const same = items.length === places.size && items.every((item, at) => places.get(item.item_id) === at + 1);
    const moves = items.map((item, at) => {
      if (!compare) return 0;
      return places.has(item.item_id) ? places.get(item.item_id) - (at + 1) : Infinity;
    });
    const entered = moves.filter((move) => move === Infinity).length;
    const rose = moves.filter((move) => move > 0).length - entered;
    const marked = entered * 2 <= items.length; // on most cards at once a badge tells nothing
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.glide(() => {
      const kept = new Map(items.map((item) => [item.item_id, this.byId.get(item.item_id) ?? new Card(item, this)]));
      this.byId = kept;
      this.element.replaceChildren(...[...kept.values()].map((card) => card.node));
      items.forEach((item, at) => kept.get(item.item_id).update(item, at + 1));
      if (!same || !compare) items.forEach((item, at) => kept.get(item.item_id).mark(marked || moves[at] !== Infinity ? moves[at] : 0));
    });
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    if (entered + rose && !focused) this.element.scrollTo({ left: 0 });
    return { entered, rose };
  }

  /** Lets cards slide from where they were to where they are, unless the reader asked for calm. */
  glide(change) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return change();
    const before = new Map([...this.byId.values()].map((card) => [card, card.node.getBoundingClientRect()]));
    change();
    for (const card of this.byId.values()) {
      const was = before.get(card);
      if (!was) continue;
      const is = card.node.getBoundingClientRect();
      const [x, y] = [was.left - is.left, was.top - is.top];
      if (x || y) card.node.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
    }
  }
}
