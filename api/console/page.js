/** What every part of the page needs: elements, announcements, memory, words for numbers. */

export const $ = (id) => document.getElementById(id);

/** An element; strings among the children become text, null is left out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Tells assistive technology what changed; sentences that come together are read together. */
export const say = (() => {
  let pending = [];
  let timer = 0;
  return (sentence) => {
    pending.push(sentence);
    clearTimeout(timer);
    timer = setTimeout(() => {
      $("live").textContent = pending.join(" ");
      pending = [];
    }, 250);
  };
})();

export function tell(id, text) {
  $(id).firstElementChild.textContent = text;
  $(id).hidden = !text;
}

const failed = new Map(); // what to call again, by the box that shows why

/** Shows why a part could not be filled, with a way to try again; no error clears it. */
export function explain(box, error, retry) {
  box.hidden = !error;
  box.replaceChildren(...(error ? [error.message, h("button", { type: "button", onclick: retry }, "Try again")] : []));
  if (error?.passing) failed.set(box, retry);
  else failed.delete(box);
}

/** Fills again what failed for a passing reason. */
export function retryFailed() {
  for (const retry of [...failed.values()]) retry();
}

/** Values that outlive the page; a browser that refuses storage only forgets them. */
export function remembered(key, fallback, where = "localStorage") {
  try {
    return JSON.parse(window[where].getItem(`endcap.${key}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(key, value, where = "localStorage") {
  try {
    window[where].setItem(`endcap.${key}`, JSON.stringify(value));
  } catch {
    // Private windows and full disks refuse; the page works on without.
  }
}

/** A random id; randomUUID exists only on https and localhost, a demonstration runs anywhere. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function money(price, currency) {
  if (price === null) return "No price";
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).format(price);
  } catch {
    return `${price.toFixed(2)} ${currency}`.trim(); // not an ISO 4217 code
  }
}

export function ago(ms) {
  const minutes = Math.round((ms - Date.now()) / 60_000);
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (minutes >= 0) return "just now";
  if (minutes > -60) return words.format(minutes, "minute");
  if (minutes > -1440) return words.format(Math.round(minutes / 60), "hour");
  const days = Math.round(minutes / 1440);
  return days > -60 ? words.format(days, "day") : words.format(Math.round(days / 30.4), "month");
}
