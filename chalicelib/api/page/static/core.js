// The page without its views: session, requests, polling, routes, and texts for times and sizes.
import { h, render } from "./preact.mjs";
import {
  useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState,
} from "./hooks.mjs";
import htm from "./htm.mjs";

export const html = htm.bind(h);
export {
  render, useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef,
  useState,
};

// A value that several components show.
function store(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(change) {
      value = { ...value, ...change };
      for (const listener of listeners) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function useStore(source) {
  const [value, setValue] = useState(source.get());
  useEffect(() => {
    setValue(source.get());
    return source.subscribe(setValue);
  }, [source]);
  return value;
}

// Session: the token lives in this tab only, and never in an address.

const TOKEN = "slipway.token";

export const session = store({
  token: sessionStorage.getItem(TOKEN),
  whoami: null,
  expired: false,
  view: 0, // what is shown is dropped when it changes
});

export async function signIn(token) {
  const whoami = await identify(token);
  forgetAll();
  const before = session.get();
  const view = before.view + (mayAllOf(whoami, before.whoami) ? 0 : 1);
  sessionStorage.setItem(TOKEN, token);
  session.set({ token, whoami, view, expired: false });
  wake();
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
  forgetAll();
  session.set({ token: null, whoami: null, expired: false });
}

// What another token was shown and asked for is not this token's.
function forgetAll() {
  kept.clear();
  sessionStorage.removeItem(UNANSWERED);
}

/** Whether a token may see and do all that the former one may. */
function mayAllOf(own, former) {
  return former && RANK[own.role] >= RANK[former.role]
    && ["project_id", "service_id"].every((name) => [null, former[name]].includes(own[name]));
}

export async function identify(token) {
  return (await send("GET", "v1/whoami", { token })).data;
}

const RANK = { viewer: 0, deployer: 1, admin: 2 };

export function can(role) {
  const own = session.get().whoami?.role;
  return own !== undefined && RANK[own] >= RANK[role];
}

// Requests. Every path is relative to the page: API Gateway serves it below a stage's name.

// `failures` are the failed tries in a row of the poll that has failed most often.
export const connection = store({ failures: 0, error: null });

export class Failure extends Error {
  constructor(status, problem = {}) {
    super(problem.detail || "");
    this.status = status;
    this.code = problem.code;
    this.field = problem.field;
    this.instance = problem.instance;
    this.findings = problem.findings;
  }

  get isOffline() {
    return this.status === 0;
  }

  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

async function send(method, path, { body, etag, key, token, raw } = {}) {
  const used = token ?? session.get().token;
  const headers = { Authorization: `Bearer ${used}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-None-Match"] = etag;
  if (key) headers["Idempotency-Key"] = key;
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(20000),
    });
    setClock(response.headers.get("Date"));
    text = await response.text();
  } catch {
    throw new Failure(0, { detail: "no answer from Slipway" });
  }
  if (response.status === 304) return { unchanged: true };
  if (!response.ok) {
    if (response.status === 401 && session.get().token === used) session.set({ expired: true });
    throw new Failure(response.status, parsed(text) ?? {});
  }
  const data = raw ? text : text ? parsed(text) : null;
  // A network that wants a sign-in answers 200 with its own page.
  if (text && !raw && (data === null || typeof data !== "object")) {
    throw new Failure(0, { detail: "the answer is not from Slipway" });
  }
  const replayed = response.headers.has("Idempotency-Replayed");
  return { data, etag: response.headers.get("ETag"), replayed };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export async function get(path) {
  return (await send("GET", path)).data;
}

/** A change that does no harm if it is made twice. */
export async function change(method, path, body) {
  const { data } = await send(method, path, { body });
  wake();
  return data;
}

// Work that was asked for without an answer, by its path and body. The key of a request outlives
// the dialog that sent it: asked for again in this tab, the work is not done twice.
const UNANSWERED = "slipway.unanswered";

const unanswered = () => JSON.parse(sessionStorage.getItem(UNANSWERED) ?? "{}");

function note(work, sent) {
  sessionStorage.setItem(UNANSWERED, JSON.stringify({ ...unanswered(), [work]: sent }));
}

const workOf = (path, body) => JSON.stringify([path, body]);

/** Whether this work was asked for before, and no answer came. */
export const isUnanswered = (path, body) => workOf(path, body) in unanswered();

/** Ask for work, which is done once however often it is asked for before an answer comes. `more`
 *  belongs to the body, and does not make it other work. */
export async function ask(path, body, more) {
  const work = workOf(path, body);
  const sent = unanswered()[work] ?? { key: newKey(), body: more ? { ...body, ...more } : body };
  note(work, sent);
  try {
    const { data, replayed } = await send("POST", path, sent);
    note(work, undefined);
    wake();
    return { ...data, word: replayed ? "was accepted already" : "is accepted" };
  } catch (error) {
    if (!error.mayPass && error.status !== 401) note(work, undefined); // this answer is definite
    throw unsure(error, "accepted. Press again: it is not done twice.");
  }
}

/** The failure of a change. Without an answer it says that the change may have been made. */
export function unsure(error, effect) {
  if (error.status > 0 && error.status < 500) return error;
  const why = error.isOffline || !error.message ? "No answer" : error.message.replace(/\.$/, "");
  wake();
  const failure = new Failure(error.status,
    { ...error, detail: `${why}: it may have been ${effect}` });
  return Object.assign(failure, { isUnsure: true });
}

export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

// Polling: often while something is under way, rarely when idle or hidden, at once on focus.

export const LIVE = 3000;
export const IDLE = 15000;
const HIDDEN = 60000;
const SLOWEST = 60000;

const wakers = new Set();

export function wake() {
  for (const waker of wakers) waker();
}

/** Call `waker` whenever the page looks at once; returns how to end that. */
export function onWake(waker) {
  wakers.add(waker);
  return () => wakers.delete(waker);
}

// A window that comes back is shown and gets the focus: that is one reason to look, not two.
let look;
const lookSoon = () => { clearTimeout(look); look = setTimeout(wake, 50); };
for (const name of ["focus", "online"]) addEventListener(name, lookSoon);
addEventListener("offline", () =>
  connection.set({ failures: Math.max(1, connection.get().failures) }));
document.addEventListener("visibilitychange", () => document.hidden || lookSoon());

// The last answer of each path, so that a page that was seen before is shown at once.
const kept = new Map();

async function fresh(path) {
  const before = kept.get(path);
  const { token } = session.get();
  const answer = await send("GET", path, { etag: before?.etag });
  if (session.get().token !== token) throw new Failure(401); // an answer to the former token
  if (answer.unchanged) return before.data;
  if (kept.size > 300) kept.delete(kept.keys().next().value);
  kept.set(path, answer);
  return answer.data;
}

const failing = new Map();

function noteTry(poll, failure) {
  if (failure) failing.set(poll, failure);
  else failing.delete(poll);
  const worst = [...failing.values()].sort((a, b) => b.failures - a.failures)[0];
  connection.set(worst ?? { failures: 0, error: null });
}

/** Call `load` again and again. `every(result)` is the pause in milliseconds; null ends it.
 *
 * What is refused at once is an answer. What is refused after it was shown is not kept fresh. */
export function poll(load, every, show) {
  let timer, ended, running, again, failures = 0, wasShown = false;

  async function run() {
    clearTimeout(timer);
    if (ended) return;
    if (running) { again = true; return; }
    if (session.get().expired || !session.get().token) return; // signing in wakes it
    running = true;
    let pause;
    try {
      const data = await load();
      failures = 0;
      wasShown = true;
      if (!ended) { noteTry(run, null); show({ data, error: null }); }
      pause = every(data);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures += 1;
      const isOld = error.mayPass || (wasShown && ![401, 404].includes(error.status));
      if (!ended) noteTry(run, isOld ? { failures, error } : null);
      if (!ended && error.status !== 401) show({ error }); // what was seen stays until the sign-in
      pause = error.status === 404 ? null : !error.mayPass ? SLOWEST
        : Math.min(SLOWEST, LIVE * 2 ** (failures - 1));
    } finally {
      running = false;
    }
    if (ended) return;
    if (again) { again = false; return run(); }
    if (pause !== null) {
      const wait = document.hidden ? Math.max(HIDDEN, pause) : pause;
      timer = setTimeout(run, wait * (0.9 + Math.random() * 0.2));
    }
  }

  const sleep = onWake(() => { if (running) again = true; else run(); });
  run();
  return () => { ended = true; clearTimeout(timer); sleep(); noteTry(run, null); };
}

const idle = () => IDLE;

/** The answer of GET `path` as {data, error}, kept fresh. Without a path it does nothing. */
export function useResource(path, every = idle) {
  const [state, setState] = useState({ path: null });
  const pace = useRef(every);
  pace.current = every;
  useEffect(() => {
    if (!path) return undefined;
    return poll(
      () => fresh(path),
      (data) => pace.current(data),
      (found) => setState((before) =>
        ({ ...(before.path === path ? before : {}), ...found, path })),
    );
  }, [path]);
  if (state.path === path && path) return state;
  return { data: path ? kept.get(path)?.data : undefined, error: null, path };
}

const none = () => false;

/** A list, kept fresh: all its pages, or the first one and those that `load` has added.
 *
 * Each page begins where the one before ends, so no row is missing between them. Pages with
 * something under way are read often. The others are read if the page before them has changed, at
 * once when the page is woken, and if all are shown, when idle. */
export function useList(path, { limit = 50, all = false, isLive = none, idlePause = IDLE } = {}) {
  const address = (cursor) =>
    `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor
      ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
  const [state, setState] = useState({ path: null });
  const live = useRef(isLive);
  live.current = isLive;
  const older = useRef(null);
  useEffect(() => {
    if (!path) return undefined;
    let ended, pages = keptPages(address, all), wholeAt = 0, woken = true;
    let wanted = all ? Infinity : 1;
    const show = (shown, error = null) => {
      pages = shown;
      if (!ended) setState({ path, error, ...listOf(pages) });
    };
    const read = async (cursor) => ({ ...await fresh(address(cursor)), cursor });

    async function load() {
      const whole = woken || (all && Date.now() - wholeAt >= IDLE * 0.8);
      woken = false;
      const found = [];
      let cursor = null;
      do {
        const known = pages[found.length];
        const isFresh = !whole && cursor && known?.cursor === cursor
          && !known.items.some(live.current);
        found.push(isFresh ? known : await read(cursor));
        cursor = found.at(-1).next_cursor;
        if (found.length > pages.length) show([...found]); // at once
      } while (cursor && found.length < wanted && !ended);
      if (whole) wholeAt = Date.now();
      show(found);
      return listOf(found).items;
    }

    older.current = async () => {
      const cursor = pages.at(-1)?.next_cursor;
      if (!cursor) return;
      const page = await read(cursor);
      wanted = pages.length + 1;
      // While this was read, the list may have been read again, and begin with new rows.
      if (pages.at(-1).next_cursor === cursor) show([...pages, page]);
      else wake();
    };
    const sleep = onWake(() => { woken = true; });
    const end = poll(load, (items) => (items.some(live.current) ? LIVE : idlePause),
      ({ error }) => error && show(pages, error));
    return () => { ended = true; sleep(); end(); };
  }, [path, limit]);
  const found = state.path === path && path ? state
    : { error: null, ...listOf(path ? keptPages(address, all) : []) };
  return { ...found, load: () => older.current() };
}

function listOf(pages) {
  const more = Boolean(pages.at(-1)?.next_cursor);
  return { items: pages.length ? pages.flatMap((page) => page.items) : null, more,
    complete: pages.length > 0 && !more };
}

/** What was answered before: all pages, or the first one. */
function keptPages(address, all) {
  const pages = [];
  let cursor = null;
  do {
    const page = kept.get(address(cursor))?.data;
    if (!page) break;
    pages.push({ ...page, cursor });
    cursor = page.next_cursor;
  } while (cursor && all);
  return pages;
}

// Routes are in the address's fragment: "#/builds/12?line=340".

const place = store(read());
export const route = place.get;
export const useRoute = () => useStore(place);

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Where the reader was in each entry of the history: "back" leads there.
const tops = new Map();
history.scrollRestoration = "manual";
let entry = nameEntry();

function nameEntry() {
  if (!history.state) history.replaceState(newKey(), "");
  return history.state;
}

addEventListener("hashchange", () => {
  tops.set(entry, scrollY);
  entry = nameEntry();
  place.set(read());
});

export const topBefore = () => tops.get(entry) ?? 0;

export function go(path) {
  location.hash = path;
}

/** Change the query of the address without a step in the history. */
export function replaceQuery(values) {
  const { parts } = route();
  const query = new URLSearchParams(route().query);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  place.set({ query });
  const text = query.toString();
  try {
    history.replaceState(entry, "",
      `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`);
  } catch { /* browsers limit how often; the next change tries again */ }
}

/** A value that lives in the query of the address, where `usual` is left out. */
export function useQuery(name, usual = "") {
  const value = useRoute().query.get(name) ?? usual;
  return [value, (next) => replaceQuery({ [name]: next === usual ? null : next })];
}

// What a screen reader hears about changes.

export const announcement = store({ text: "" });

export function announce(text) {
  announcement.set({ text });
}

export const notices = store({ list: [] });

export function notify(text, tone = "success") {
  const notice = { text, tone, id: newKey() };
  notices.set({ list: [...notices.get().list.slice(-2), notice] });
  setTimeout(() => dismiss(notice.id), 8000);
}

export function dismiss(id) {
  notices.set({ list: notices.get().list.filter((notice) => notice.id !== id) });
}

// The server's clock. This computer's may be wrong.

const TOLERANCE = 3000; // the header has whole seconds, and the answer was under way
let ahead = 0;

function setClock(date) {
  const offset = Date.parse(date ?? "") + 500 - Date.now();
  if (Math.abs(offset - ahead) > TOLERANCE) ahead = Math.abs(offset) > TOLERANCE ? offset : 0;
}

/** The server's time, in milliseconds since 1970. */
export const now = () => Date.now() + ahead;

// Texts.

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) {
    const rest = whole % 60;
    return rest && whole < 600 ? `${Math.floor(whole / 60)} min ${rest} s`
      : `${Math.round(whole / 60)} min`;
  }
  const hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  if (hours < 24) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 3 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** A weight of ECS. Some are no whole numbers. */
export const percent = (value) => `${value.toLocaleString("en", { maximumFractionDigits: 2 })} %`;

/** A setting of whole minutes. */
export const minutes = (value) =>
  (value > 60 && value % 60 === 0 ? `${value / 60} h` : `${value} min`);

export function between(from, to) {
  return from ? ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000 : null;
}

export function ago(text) {
  const seconds = (now() - Date.parse(text)) / 1000;
  if (seconds < -45) return `in ${roughly(-seconds)}`;
  return seconds < 45 ? "just now" : `${roughly(seconds)} ago`;
}

function roughly(seconds) {
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const EXACT = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

export function exact(text) {
  return EXACT.format(new Date(text));
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function shortDigest(digest) {
  return digest ? digest.replace("sha256:", "").slice(0, 12) : "";
}

/** The repository's page on its host, or null for an address that is not https. */
export function repositoryUrl(gitUrl) {
  return /^https:\/\/[^/\s]+\/\S+$/.test(gitUrl ?? "") ? gitUrl.replace(/\.git$/, "") : null;
}

export function commitUrl(gitUrl, sha) {
  const base = repositoryUrl(gitUrl);
  return base && sha && base.startsWith("https://github.com/") ? `${base}/commit/${sha}` : null;
}

/** The page of a pull request, or null for other hosts than GitHub. */
export function pullUrl(gitUrl, number) {
  const base = repositoryUrl(gitUrl);
  return base?.startsWith("https://github.com/") ? `${base}/pull/${number}` : null;
}

/** The page that compares two commits, or null for other hosts than GitHub. */
export function compareUrl(gitUrl, from, to) {
  const base = repositoryUrl(gitUrl);
  return base?.startsWith("https://github.com/") && from && to && from !== to
    ? `${base}/compare/${from}...${to}` : null;
}

export function firstLine(text) {
  return (text ?? "").split("\n", 1)[0];
}
