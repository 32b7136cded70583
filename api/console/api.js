/** Calls to the API, and whether it can be reached and which release it serves. */

import { $, say, tell } from "./page.js";

const POLL_MS = 5000;
const SLOWEST_MS = 30_000; // longest wait between two attempts to reach the API
const TIMEOUT_MS = 15_000;

/** No usable answer: what to tell the shopper; ``status`` 0 means that nothing answered. */
class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
    this.passing = status === 0 || status === 429 || status >= 500; // worth trying again soon
  }
}

/** A path with parameters; empty ones are left out, arrays repeat. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== "" && one !== null) query.append(name, one);
  }
  return query.size ? `${path}?${query}` : path;
}

/**
 * One call. Aborting raises AbortError; everything else that goes wrong is a Failure.
 * Public lists may sit in the browser's cache: "no-cache" asks whether they are still right (a 304, mostly).
 */
export async function call(url, { signal, ...options } = {}) {
  const started = performance.now();
  const signals = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response, body;
  try {
    response = await fetch(url, { cache: "no-cache", ...options, signal: AbortSignal.any(signals) });
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (!response) throw new Failure("The shop's server cannot be reached.");
    throw new Failure(`The server's answer (${response.status}) could not be read.`, response.ok ? 0 : response.status);
  }
  signal?.throwIfAborted(); // a newer call began while this one was read
  if (!response.ok) {
    const detail = body.detail ?? body.title ?? `status ${response.status}`;
    throw new Failure(`The server says: ${detail}.`, response.status);
  }
  return { body, timing: response.headers.get("server-timing") ?? "", roundTrip: performance.now() - started };
}

export const getJson = (url, signal) => call(url, { signal });

/**
 * Whether the server answers, and with which release. Dispatches "lost" and, on each look that finds it
 * ready, "answered" with {back, swapped}. Only /readyz counts: shared caches may hold lists of an older release.
 */
export const connection = Object.assign(new EventTarget(), { lost: false, attempts: 0, timer: 0, release: null });

/** A call failed. Where nothing answers at all, what is on the page stays and the server is looked for. */
export function unreachable(error) {
  if (!(error instanceof Failure) || error.status) return;
  const before = connection.lost;
  connection.lost = true;
  $("health").dataset.state = "lost";
  $("health").textContent = "No connection to the server";
  tell("offline", `${error.message} What you see is what came last; this page keeps trying.`);
  if (before) return;
  connection.dispatchEvent(new Event("lost"));
  schedule();
}

/** The next look at the server: steadily while it answers, else less and less often, with jitter. */
function schedule() {
  const steady = !connection.attempts && !connection.lost;
  const backoff = Math.min(SLOWEST_MS, 1000 * 2 ** connection.attempts) * (0.5 + Math.random() / 2);
  clearTimeout(connection.timer);
  connection.timer = setTimeout(watch, steady ? POLL_MS : backoff);
}

/** Looks at the server now, and again later. */
export async function watch() {
  if (document.hidden && !connection.lost) return schedule();
  try {
    const { body } = await getJson("readyz");
    const back = connection.lost;
    Object.assign(connection, { lost: false, attempts: 0 });
    tell("offline", "");
    if (back) say("The server answers again.");
    const swapped = showRelease(body.release);
    connection.dispatchEvent(new CustomEvent("answered", { detail: { back, swapped } }));
  } catch (error) {
    connection.attempts += 1;
    if (!error.status) unreachable(error);
    else notReady(error);
  }
  schedule();
}

function notReady(error) {
  $("health").dataset.state = "lost";
  $("health").textContent = error.message;
}

/** Names the release in service; true if it is another one than before. */
function showRelease(version) {
  const before = connection.release;
  connection.release = version;
  $("health").dataset.state = "ready";
  const swapped = before !== null && before !== version;
  if (swapped) {
    $("health").textContent = `Ready · release ${version} replaced ${before}`;
    $("health").classList.remove("swapped");
    void $("health").offsetWidth; // a layout in between, or the highlight would not start again
    $("health").classList.add("swapped");
    say(`Release ${version} is in service.`);
  } else if (!$("health").textContent.includes(version)) {
    $("health").textContent = `Ready · release ${version}`;
  }
  return swapped;
}
