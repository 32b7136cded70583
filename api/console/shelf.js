/** A list of the API with its origin: where it was served from, by which release, in what time. */

import { getJson, unreachable } from "./api.js";
import { Cards } from "./items.js";
import { $, explain, h, say, svg } from "./page.js";

const ORIGINS = {
  personalised: "computed for this shopper, now",
  user_list: "the shopper's precomputed list",
  trending: "the trending list, the same for everybody",
  popular: "the popular list inside the release",
  similar: "a precomputed list, the same for everybody",
  bought_together: "a precomputed list, the same for everybody",
};

/** One list with its origin. What it shows stays until something better arrives. */
export class Shelf {
  constructor(id, empty) {
    this.section = $(id);
    this.heading = $(`${id}-title`);
    this.empty = empty;
    this.cards = new Cards(h("ul", { className: "row" }));
    this.problem = h("p", { className: "problem", hidden: true });
    this.summary = h("summary");
    this.details = h("div");
    this.origin = h("details", { className: "origin", hidden: true }, this.summary, this.details);
    this.change = h("p", { className: "change", hidden: true });
    this.section.append(this.cards.element, this.problem, this.change, h("div", { className: "origin" }, this.origin));
    this.cards.element.setAttribute("aria-labelledby", this.heading.id);
  }

  /** Loads a list; the same address again marks what changed. A newer call supersedes this one. */
  async load(url) {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.section.setAttribute("aria-busy", "true");
    try {
      this.show(url, await getJson(url, abort.signal));
    } catch (error) {
      if (!abort.signal.aborted) this.fail(url, error);
    } finally {
      if (this.abort === abort) this.section.setAttribute("aria-busy", "false");
    }
  }

  show(url, { body, timing, roundTrip }) {
    explain(this.problem, null);
    this.cards.answer = body;
    const changed = this.cards.draw(body.items, { compare: url === this.url });
    const elsewhere = url !== this.url;
    this.url = url;
    if (!body.items.length) this.cards.element.replaceChildren(h("li", { className: "empty" }, this.empty));
    if (changed.entered + changed.rose) {
      const told = `${changed.entered} of ${body.items.length} moved in, ${changed.rose} moved up.`;
      say(`${this.heading.textContent} changed: ${told}`);
      this.change.textContent = `Changed just now: ${told}`;
      this.change.hidden = false;
    } else if (elsewhere) {
      this.change.hidden = true;
    }
    this.describe(url, body, timing, roundTrip);
  }

  fail(url, error) {
    unreachable(error);
    explain(this.problem, error, () => this.load(url));
  }

  describe(url, { meta, warnings }, timing, roundTrip) {
    const took = meta.took_ms === null ? "shared answer" : `${meta.took_ms.toFixed(1)} ms`;
    this.origin.hidden = false;
    this.summary.replaceChildren(`${meta.served_from.replaceAll("_", " ")} · ${took} · release ${meta.release}`,
      ...(meta.degraded ? [" · ", h("span", { className: "warn" }, "degraded")] : []));
    const facts = {
      "Served from": ORIGINS[meta.served_from] ?? meta.served_from,
      Degraded: meta.degraded ? "yes: a better source failed or was too slow" : "no",
      Release: meta.release,
      Rules: meta.rules ?? "none",
      Experiment: meta.experiment ? `${meta.experiment.id}, variant ${meta.experiment.variant}` : "none",
      Made: new Date(meta.generated_at).toLocaleString("en"),
      Took: `${took}; ${roundTrip.toFixed(0)} ms with the way here and back`,
      ...(warnings.length ? { Warnings: warnings.map(({ detail }) => detail).join("; ") } : {}),
    };
    const terms = Object.entries(facts).flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]);
    const raw = h("a", { href: url, target: "_blank", rel: "noopener" }, "Raw JSON");
    this.details.replaceChildren(h("dl", {}, ...terms), ...stages(timing), raw);
  }
}

/** Server-Timing as a small bar with its legend; nothing where the answer has none. */
function stages(timing) {
  const parts = timing.split(",").map((part) => part.match(/^\s*([\w-]+)\s*;.*\bdur=([\d.]+)/)).filter(Boolean)
    .map(([, name, ms]) => ({ name, ms: Number(ms) }));
  const total = parts.find(({ name }) => name === "total")?.ms ?? 0;
  const named = parts.filter(({ name }) => name !== "total");
  if (!total) return [];
  named.push({ name: "other", ms: Math.max(0, total - named.reduce((sum, { ms }) => sum + ms, 0)) });
  const colour = (at) => (at === named.length - 1 ? "hsl(0 0% 58%)" : `hsl(${170 + at * 50} 50% 50%)`);
  let from = 0;
  const bars = named.map(({ ms }, at) => {
    const bar = svg("rect", { x: (from / total) * 100, width: (ms / total) * 100, height: 6, fill: colour(at) });
    from += ms;
    return bar;
  });
  const key = (at) => svg("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" }, svg("rect", { width: 1, height: 1, fill: colour(at) }));
  return [
    svg("svg", { class: "stages", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars),
    h("p", {}, ...named.map(({ name, ms }, at) => h("span", { className: "stage" }, key(at), `${name} ${ms.toFixed(2)} ms `))),
  ];
}
