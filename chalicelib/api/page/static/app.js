// The frame around every view: navigation, the token, the theme, and what is shown without them.
import {
  announcement, connection, dismiss, Failure, html, notices, onWake, render, session, signIn,
  signOut, topBefore, useEffect, useErrorBoundary, useRef, useResource, useRoute, useState,
  useStore, wake,
} from "./core.js";
import {
  Button, Code, Dialog, FailureText, Icon, Loading, Problem, sentence, Text, Time,
} from "./ui.js";
import { Home } from "./home.js";

const VIEWS = {
  services: () => import("./service.js").then((module) => module.Service),
  builds: () => import("./build.js").then((module) => module.Build),
  deployments: () => import("./deployment.js").then((module) => module.Deployment),
  deliveries: () => import("./records.js").then((module) => module.Deliveries),
  channels: () => import("./channels.js").then((module) => module.Channels),
  audit: () => import("./records.js").then((module) => module.Audit),
  tokens: () => import("./records.js").then((module) => module.Tokens),
  metrics: () => import("./metrics.js").then((module) => module.Metrics),
};

const LINKS = [
  ["", "Services"], ["metrics", "Metrics"], ["deliveries", "Deliveries"],
    ["channels", "Channels"], ["audit", "Audit"], ["tokens", "Tokens"],
];
const UNDER = { services: "", builds: "", deployments: "" };

const THEME = "slipway.theme";
const THEMES = { auto: ["half", "as the system has it"], light: ["sun", "light"],
  dark: ["moon", "dark"] };

function kept() {
  try {
    return localStorage.getItem(THEME) ?? "auto";
  } catch {
    return "auto";
  }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch { /* storage may be forbidden; the theme then lasts until the page is left */ }
}

function ThemeButton() {
  const [theme, choose] = useState(kept);
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme) + 1) % names.length];
  return html`<button type="button" class="icon-button" title=${`Colours: ${THEMES[theme][1]}`}
      onClick=${() => { setTheme(next); choose(next); }}>
    <${Icon} name=${THEMES[theme]?.[0] ?? "half"}
      label=${`Colours: ${THEMES[theme]?.[1]}. Change to ${next}`} /></button>`;
}

function Mark() {
  return html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" />
      <path d="M6 22.5 26 14M9 16.5l14-6v5l-12 5z" fill="none" stroke-width="2.4"
        stroke-linejoin="round" stroke-linecap="round" /></svg>`;
}

function Pulse() {
  const { failures, error } = useStore(connection);
  return html`<span class=${`pulse ${failures ? "off" : ""}`} title=${failures
      ? error?.message || "Slipway does not answer" : "This page is kept up to date"}>
      <span>${failures ? "Not connected" : "Live"}</span></span>`;
}

function Who({ whoami }) {
  const reach = whoami.service_id ? `service ${whoami.service_id}` : whoami.project_id
    ? `project ${whoami.project_id}` : "all projects";
  return html`<details class="who">
      <summary aria-label=${`Token ${whoami.name}`}><${Text} class="clip">${whoami.name}<//>
      </summary>
    <div class="who-menu"><div><p class="name"><${Text}>${whoami.name}<//></p>
        <p class="muted">Role ${whoami.role}, ${reach}</p>
        <p class="muted">${whoami.expires_at ? html`Expires <${Time} at=${whoami.expires_at} />`
          : "Never expires"}</p>
      </div>
      <${Button} onClick=${signOut}>Sign out<//></div></details>`;
}

function Top({ at, whoami }) {
  const here = UNDER[at] ?? at;
  return html`<header class="top"><div class="top-row">
    <a class="brand" href="#/"><${Mark} />Slipway</a>
    <nav class="nav" aria-label="Main">
      <ul>${LINKS.map(([path, name]) =>
            html`<li key=${path}><a href=${`#/${path}`} aria-current=${path === here ? "page"
                  : undefined}>${name}</a></li>`)}</ul></nav>
    <div class="top-end"><${Pulse} /><${ThemeButton} />
      ${whoami && html`<${Who} whoami=${whoami} />`}</div>
  </div></header>`;
}

function Offline() {
  const { failures, error } = useStore(connection);
  if (failures < 2 && navigator.onLine) return null;
  return html`<div class="offline" role="status"><${Icon} name="warning" />
      <span>${!navigator.onLine ? "This computer is offline."
          : error && !error.isOffline ? "Slipway cannot answer some of what this page asks."
          : "Slipway does not answer."} What you see may be old. The page tries again by itself.
      </span>
    <${Button} onClick=${wake}>Try now<//></div>`;
}

function TokenField({ error, busy, submit, again }) {
  const [token, setToken] = useState("");
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  return html`<form class="stack"
      onSubmit=${(event) => { event.preventDefault(); submit(token.trim()); }}>
    <label class="field"><span>Token</span>
      <input ref=${field} type="password" value=${token} onInput=${(event) =>
        setToken(event.target.value)} autocomplete="off" placeholder="slw_…" spellcheck=${false}
        required /></label>
    <${FailureText} error=${error} />
    <button type="submit" class="button primary" disabled=${busy}>
      ${busy && html`<${Icon} name="running" />`}${again ? "Go on" : "Sign in"}</button>
  </form>`;
}

function useSignIn() {
  const [state, setState] = useState({});
  async function submit(token) {
    if (!/^slw_[\w-]+$/.test(token)) {
      setState({ error: new Failure(400, { detail: "A token begins with slw_ and has no spaces." })
        });
      return;
    }
    setState({ busy: true });
    try {
      await signIn(token);
    } catch (error) {
      setState({ error });
    }
  }
  return { ...state, submit };
}

function SignIn() {
  const form = useSignIn();
  return html`<main class="sign-in" id="content"><div class="sign-in-box">
    <h1 class="brand" tabindex="-1"><${Mark} />Slipway</h1>
    <div class="card"><${TokenField} ...${form} />
      <p class="hint">The token stays in this tab, and is forgotten when you close it.</p></div>
    <p class="hint">No token yet? An admin makes one: <${Code}>make token STAGE=dev<//>
      , or <${Code}>make run<//> prints one for the local cloud.</p>
  </div></main>`;
}

/** The token ended while the page was open. The view behind stays, and then goes on. */
function SignInAgain() {
  const form = useSignIn();
  return html`<${Dialog} title="Your token has expired" stays
      footer=${html`<${Button} onClick=${signOut}>Sign out<//>`}>
    <p>It was revoked, or its time is up. Sign in with a new one: this page goes on where you are.
    </p>
    <${TokenField} ...${form} again /><//>`;
}

function Notices() {
  const { list } = useStore(notices);
  return html`<div class="notices" role="status">
      ${list.map((notice) => html`<div class=${`notice ${notice.tone}`} key=${notice.id}>
              <${Icon} name=${notice.tone} /><p><${Text}>${sentence(notice.text)}<//></p>
    <button type="button" class="icon-button small" onClick=${() => dismiss(notice.id)}>
      <${Icon} name="close" label="Close" /></button></div>`)}</div>`;
}

function Foot() {
  const about = useResource("v1/health", () => null).data;
  return html`<footer class="foot">
      <span>Slipway ${about?.version} ${about?.commit && about.commit !== "unknown"
          && html`<${Code}>${about.commit.slice(0, 7)}<//>`}</span><a href="docs">API</a>
      <span>Press / to search</span>
    ${about?.simulated && html`<span>Simulated: images and containers are only recorded</span>`}
    </footer>`;
}

function NotFound() {
  return html`<div class="card"><${Problem} error=${new Failure(404)} page /></div>`;
}

function Broken({ title, children }) {
  return html`<div class="state" role="alert"><p class="state-title">${title}</p>
      <p>${children}</p>
      <${Button} onClick=${() => location.reload()}>Load the page again<//></div>`;
}

const loaded = {};

/** A view by the first part of the address. Its module is loaded when it is first shown. */
function View({ parts }) {
  const [name = "", id] = parts;
  const [tried, setTried] = useState({});
  const [failure, forget] = useErrorBoundary((error) => reportError(error));
  const load = VIEWS[name];
  useEffect(() => {
    if (!load || loaded[name]) return undefined;
    let current = true;
    const start = () => load().then((component) => { loaded[name] = component; }).then(
      () => current && setTried({ name }), () => current && setTried({ name, failed: true }));
    start();
    const sleep = onWake(() => loaded[name] || start());
    return () => { current = false; sleep(); };
  }, [name]);
  useEffect(forget, [parts.join("/")]);
  if (failure) return html`<${Broken} title="This part of the page has failed">
      It is an error of the page. Your last action may have been done.<//>`;
  if (name === "") return html`<${Home} />`;
  const needsId = ["services", "builds", "deployments"].includes(name);
  if (!load || (needsId && !/^[1-9]\d*$/.test(id ?? ""))) return html`<${NotFound} />`;
  const Component = loaded[name];
  const isLost = tried.failed && tried.name === name;
  if (!Component) return !isLost ? html`<${Loading} />`
    : html`<${Broken} title="This part of the page could not be loaded">
        The page tries again when Slipway answers.<//>`;
  return html`<${Component} key=${id} id=${id} part=${parts[2]} />`;
}

/** Keeps the session's whoami fresh. Each token has its own. */
function Whoami() {
  const found = useResource("v1/whoami", () => 300000).data;
  useEffect(() => { if (found) session.set({ whoami: found }); }, [found]);
  return null;
}

function App() {
  const { token, whoami, view, expired } = useStore(session);
  const at = useRoute();
  const place = at.parts.slice(0, 2).join("/");
  const before = useRef(place);
  useEffect(() => {
    if (before.current === place) return;
    before.current = place;
    scrollTo(0, topBefore());
    document.querySelector("main")?.focus({ preventScroll: true });
  }, [place]);
  const { text } = useStore(announcement);
  if (!token) return html`<${SignIn} />`;
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <${Whoami} key=${token} />
    <${Top} at=${at.parts[0] ?? ""} whoami=${whoami} />
    <${Offline} />
    <main id="content" tabindex="-1">
      ${whoami ? html`<${View} key=${view} parts=${at.parts} />`
        : html`<${Loading} />`}</main>
    <${Foot} />
    ${expired && html`<${SignInAgain} />`}
    <${Notices} />
    <p class="hidden" aria-live="polite">${text}</p>`;
}

function skip(event) {
  event.preventDefault(); // the fragment is the route
  document.querySelector("main").focus();
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  const field = document.querySelector("main input[type=search]");
  if (field) { event.preventDefault(); field.focus(); }
});

// A menu closes when something else is clicked, or with Escape.
for (const name of ["click", "keydown"]) {
  addEventListener(name, (event) => {
    const open = document.querySelector("details.who[open]");
    if (!open || (name === "keydown" ? event.key !== "Escape"
        : open.contains(event.target))) return;
    open.open = false;
    if (name === "keydown") open.querySelector("summary").focus();
  });
}

setTheme(kept());
render(html`<${App} />`, document.getElementById("page"));
