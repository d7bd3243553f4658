// Parts that several views use: icons, statuses, times, tables, dialogs and designed states.
import {
  ago, between, can, commitUrl, count, duration, exact, firstLine, html, IDLE, LIVE, notify,
  pullUrl, shortDigest, useEffect, useId, useRef, useState,
} from "./core.js";

const ICONS = {
  success: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM5 8.2l2.1 2.1L11.2 6",
  failed: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6",
  running: "M8 1.5A6.5 6.5 0 0 1 14.5 8",
  waiting: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM8 4.5V8l2.3 1.5",
  ended: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM5 8h6",
  back: "M3 3.5v4h4M3.3 7.2A5.3 5.3 0 1 1 4 11.5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  warning: "M8 2 1.6 13.2h12.8L8 2ZM8 6.4v3M8 11.3v.2",
  none: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.3 3.3",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  out: "M9 2.5h4.5V7M13.2 2.8 7.5 8.5M11.5 9.5v4h-9v-9h4",
  down: "M8 2.5v10M3.8 8.8 8 13l4.2-4.2",
  save: "M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1"
    + "M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13",
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1Z",
  half: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 1.8v12.4M8 4h4M8 7h6M8 10h5.4M8 13h2",
  link: "M6.5 9.5 9.5 6.5M7 4.5l1.3-1.3a3 3 0 0 1 4.4 4.2L11.4 8.8"
    + "M9 11.5l-1.3 1.3a3 3 0 0 1-4.4-4.2l1.3-1.4",
};

export function Icon({ name, label }) {
  const about = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`<svg class=${`icon icon-${name}`} viewBox="0 0 16 16" fill="none"
      stroke="currentColor"
    stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" ...${about}>
      <path d=${ICONS[name]} /></svg>`;
}

// Statuses of builds and deployments, of jobs and of deliveries: a word, an icon and a colour.
const STATUSES = {
  queued: ["waiting", "waiting", "Queued"],
  building: ["running", "running", "Building"],
  deploying: ["running", "running", "Deploying"],
  approval: ["waiting", "pause", "Awaits approval"],
  hook: ["waiting", "pause", "Awaits a hook"],
  running: ["running", "running", "Running"],
  success: ["success", "success", "Succeeded"],
  failed: ["failed", "failed", "Failed"],
  cancelled: ["ended", "ended", "Cancelled"],
  superseded: ["ended", "ended", "Superseded"],
  rolled_back: ["ended", "back", "Rolled back"],
  unseen: ["ended", "none", "Not seen yet"],
  started: ["success", "success", "Started"],
  duplicate: ["ended", "ended", "Duplicate"],
  ignored: ["ended", "ended", "Ignored"],
};

export const isOpen = (job) => job && !job.finished_at;

/** How often to read a job. A hook may wait for a day, and each answer wakes the page. */
export const paceOf = (job) => (isOpen(job) && !job.awaiting ? LIVE : IDLE);

/** What a link to a deployment that awaits approval offers. */
export const answerWord = () => (can("deployer") ? "Look and answer" : "Open");

/** The status of a job, or what its rollout has stopped for. */
export const stateOf = (job) => job.awaiting ?? job.status;

export function Status({ status, word, bare }) {
  const [tone, icon, usual] = STATUSES[status] ?? ["ended", "none", status];
  return html`<span class=${`status ${tone} ${bare ? "bare" : ""}`}>
    <${Icon} name=${icon} label=${bare ? usual : undefined} />${!bare && (word ?? usual)}</span>`;
}

export const statusWord = (status) => (STATUSES[status]?.[2] ?? status).toLowerCase();

const STRATEGIES = { ROLLING: "rolling", BLUE_GREEN: "blue/green", LINEAR: "linear",
  CANARY: "canary" };

export const strategyWord = (strategy) => STRATEGIES[strategy] ?? strategy;

// Times are drawn again now and then, and durations of running work each second.
function useTicks(milliseconds) {
  const [, setTick] = useState(0);
  useEffect(() => {
    if (!milliseconds) return undefined;
    const timer = setInterval(() => document.hidden || setTick((tick) => tick + 1), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}

/** How long ago it was. With `full` also when, for those who cannot point at it. */
export function Time({ at, full }) {
  useTicks(20000);
  if (!at) return html`<span class="muted">–</span>`;
  const time = html`<time datetime=${at} title=${exact(at)}>${ago(at)}</time>`;
  return full ? html`${time} <span class="muted">${exact(at)}</span>` : time;
}

export function Duration({ from, to }) {
  useTicks(from && !to ? 1000 : 0);
  const seconds = between(from, to);
  return seconds === null ? html`<span class="muted">–</span>`
    : html`<span class="figure">${duration(seconds)}</span>`;
}

export function Progress({ job }) {
  const step = job.awaiting ? STATUSES[job.awaiting][2] : job.step ?? job.waiting_for;
  const left = job.awaiting ? null : job.remaining_seconds;
  const value = job.progress ?? 0;
  return html`<div class="progress">
    <div class="bar" role="progressbar" aria-label=${`Progress of ${job.job_id ?? "the job"}`}
      aria-valuenow=${value}
      aria-valuemin="0" aria-valuemax="100"><span style=${{ width: `${value}%` }}></span></div>
    <p class="under"><span class="clip">${step ? sentence(step) : `${value} %`}</span>
      ${left != null && html`<span class="nowrap muted">
            ${left > 0 ? `about ${duration(left)} left` : "longer than usual"}</span>`}</p>
  </div>`;
}

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

// Text from outside: it keeps to its own direction, and to the width of its place.
export function Text({ children, class: name = "" }) {
  return html`<bdi class=${name}>${children}</bdi>`;
}

export function Code({ children, title }) {
  return html`<code class="code" title=${title}><bdi>${children}</bdi></code>`;
}

export function Commit({ sha, message, gitUrl, author, plain }) {
  if (!sha && !message) return html`<span class="muted">no commit</span>`;
  const url = !plain && commitUrl(gitUrl, sha);
  const short = sha ? sha.slice(0, 7) : "";
  return html`<span class="commit">
    ${short && (url ? html`<a class="code" href=${url} target="_blank" rel="noopener noreferrer">
            ${short}</a>` : html`<code class="code">${short}</code>`)}
    ${message && html`<${Text} class="clip">${firstLine(message)}<//>`}
    ${author && html`<span class="muted clip author">by <${Text}>${author}<//></span>`}
  </span>`;
}

/** A pull request, by its number. */
export function PullLink({ number, gitUrl }) {
  const word = `pull request ${number}`;
  const url = pullUrl(gitUrl, number);
  return url ? html`<a class="outside" href=${url} target="_blank" rel="noopener noreferrer">${word}
      </a>` : word;
}

const NAMED = 5;

/** What a deployment waits for, since when, and when it ends without it. */
export function ChecksLine({ checks }) {
  const open = [...checks.running, ...checks.missing];
  const names = open.length ? open : checks.required === "all" ? [] : checks.required;
  const more = names.length - NAMED;
  return html`Waits for ${names.length === 1 ? "the check " : names.length ? "the checks "
    : "all checks of the commit"}${names.slice(0, NAMED).map((name, at) =>
      html`${at > 0 && ", "}<${Code} key=${name}>${name}<//>`)}${more > 0 && ` and ${more} more`}.
    ${" "}Began <${Time} at=${checks.since} />, deadline <${Time} at=${checks.deadline_at} />.`;
}

export function Digest({ digest }) {
  if (!digest) return html`<span class="muted">–</span>`;
  return html`<span class="digest"><code class="code" title=${digest}>${shortDigest(digest)}</code>
      <${Copy} text=${digest} what="digest" /></span>`;
}

export function Copy({ text, what }) {
  const [done, setDone] = useState(false);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      notify("The browser did not allow copying.", "failed");
    }
  }
  return html`<button type="button" class="icon-button small" onClick=${copy}
      title=${`Copy the ${what}`}>
    <${Icon} name=${done ? "success" : "copy"} label=${done ? "Copied" : `Copy the ${what}`} />
    </button>`;
}

// Facts as a list of names and values.
export function Facts({ rows }) {
  return html`<dl class="facts">
      ${rows.filter(Boolean).map(([name, value]) =>
          html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Card({ title, aside, children, class: name = "", level = 2 }) {
  const id = `card-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return html`<section class=${`card ${name}`} aria-labelledby=${id}>
    <div class="card-head"><${`h${level}`} id=${id}>${title}<//>
      ${aside && html`<div class="card-aside">${aside}</div>`}</div>
    ${children}
  </section>`;
}

/** A person or a token, without the word that says where the name is from. */
export const who = (actor) => (actor ?? "").replace(/^(?:token|github):/, "");

/** Who has answered ECS: a caller of Slipway, or somebody without it. */
export const By = ({ actor }) => (actor === "outside" ? "outside Slipway"
  : html`by <${Text}>${who(actor)}<//>`);

// A table that becomes a list of cards where it is narrow.
export function Table({ columns, rows, keyOf, label, rowClass }) {
  return html`<div class="table-frame"><table class="table">
    <caption class="hidden">${label}</caption>
    <thead><tr>${columns.map((column) =>
            html`<th scope="col" class=${column.class} key=${column.name}>${column.name}</th>`)}
      </tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)} class=${rowClass?.(row)}>
      ${columns.map((column) =>
          html`<td key=${column.name} data-label=${column.name} class=${column.class}>
              <div class="cell">${column.show(row)}</div></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

const said = (text) => (typeof text === "string" ? sentence(text) : text);

export function Banner({ tone = "waiting", icon = "warning", title, children, action }) {
  return html`<div class=${`banner ${tone}`}>
    <${Icon} name=${icon} />
    <div class="banner-text"><p class="banner-title">${title}</p>
      ${children && html`<p><${Text}>${said(children)}<//></p>`}</div>
    ${action && html`<div class="banner-action">${action}</div>`}
  </div>`;
}

// Designed states.

export function Loading({ what = "Loading" }) {
  return html`<div class="state loading" role="status"><${Icon} name="running" /><p>${what}…</p>
    </div>`;
}

export function Empty({ title, children, command }) {
  return html`<div class="state"><p class="state-title">${title}</p>
      ${children && html`<p>${children}</p>`}
    ${command && html`<div class="command">
          <pre tabindex="0" role="region" aria-label="Command">${command}</pre>
          <${Copy} text=${command} what="command" /></div>`}</div>`;
}

export function Problem({ error, what = "this page", page }) {
  const missing = error.status === 404;
  const hidden = error.status === 403;
  const title = missing ? "Not found" : hidden ? "Your token may not see this" : error.isOffline
    ? "Slipway does not answer" : `Slipway could not show ${what}`;
  const help = missing
    ? "It does not exist, or your token cannot see it."
    : hidden ? error.message
    : error.mayPass ? "The page tries again by itself."
    : error.message;
  return html`<div class="state" role="alert"><${Icon} name=${missing ? "none" : "warning"} />
      <${page ? "h1" : "p"} class="state-title">${title}<//>
    <p><${Text}>${sentence(help)}<//></p>
    ${error.mayPass && !error.isOffline && error.message
      && html`<p class="muted"><${Text}>${error.message}<//></p>`}
    ${error.instance && !missing
      && html`<p class="muted">Request <${Code}>${error.instance}<//></p>`}
    ${missing && html`<p><a href="#/">Go to the services</a></p>`}</div>`;
}

/** Shows `children(data)` of a resource, or the state that it is in. */
export function Await({ of, what, page, children }) {
  if (of.data !== undefined && of.data !== null
    && !(of.error && !of.error.mayPass)) return children(of.data);
  if (of.error) return html`<${Problem} error=${of.error} what=${what} page=${page} />`;
  return html`<${Loading} what=${`Loading ${what}`} />`;
}

// Actions.

export function Button({ kind = "", busy, children, ...rest }) {
  return html`<button type="button" class=${`button ${kind}`} ...${rest} disabled=${busy
      || rest.disabled}>
    ${busy && html`<${Icon} name="running" />`}${children}</button>`;
}

/** A word on what the token's role does not allow. */
export function NotAllowed({ role, what }) {
  if (can(role)) return null;
  return html`<p class="muted not-allowed">
      Your token may only ${can("deployer") ? "deploy" : "read"}: ${what} needs the role ${role}.
    </p>`;
}

/** A dialog. It does not close while it is `busy`: a failure would be told to nobody. With `stays`
 *  only a button of its footer closes it. */
export function Dialog({ title, onClose, children, footer, onSubmit, wide, busy, stays }) {
  const box = useRef(null);
  const pressed = useRef(null); // a selection of text may end outside the dialog
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.focus?.();
  }, []);
  const leave = () => { if (!busy && !stays) onClose(); };
  const body = html`<div class="dialog-head"><h2 id=${id}>${title}</h2>
      ${!stays && html`<button type="button" class="icon-button" onClick=${leave} disabled=${busy}>
        <${Icon} name="close" label="Close" /></button>`}</div>
    <div class="dialog-body" tabindex="-1">${children}</div>
    <div class="dialog-foot">${footer}</div>`;
  const submit = (event) => { event.preventDefault(); onSubmit(); };
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-labelledby=${id}
      onKeyDown=${(event) => {
        if (event.key === "Escape") { event.preventDefault(); leave(); }
      }}
      onCancel=${(event) => { event.preventDefault(); leave(); }}
      onClose=${() => box.current?.showModal()}
      onMouseDown=${(event) => { pressed.current = event.target; }}
      onClick=${(event) => event.target === box.current && pressed.current === box.current
        && leave()}>
    ${onSubmit ? html`<form onSubmit=${submit} class="dialog-frame">${body}</form>`
      : html`<div class="dialog-frame">${body}</div>`}
  </dialog>`;
}

export function FailureText({ error }) {
  if (!error) return null;
  const texts = error.findings?.length ? error.findings.map((finding) => finding.message)
    : [error.message];
  return html`<div class="error-text" role="alert"><${Icon} name="failed" />
      <div>${texts.map((text) =>
          html`<p key=${text}><${Text}>${sentence(text)}<//></p>`)}</div></div>`;
}

/** Why a build or a deployment failed: the cause first, then what to do, then the evidence. */
export function FailureCard({ job, kind, link }) {
  const failure = job.failure;
  const cause = failure?.summary ?? job.error;
  const tasks = failure?.tasks ?? [];
  const events = failure?.events ?? [];
  const tail = failure?.log_tail ?? [];
  const end = useRef(null);
  useEffect(() => { if (end.current) end.current.scrollTop = end.current.scrollHeight; },
    [tail.length]);
  if (!cause) return null;
  return html`<section class="failure" aria-labelledby="failure-title">
    <div class="failure-head"><${Icon} name="failed" />
      <div><h2 id="failure-title">
          ${failure ? `Failed in the phase “${failure.phase.replaceAll("_", " ")}”`
            : `The ${kind} failed`}</h2>
        <p class="cause"><${Text}>${cause}<//></p>
        ${failure?.exit_code != null
          && html`<p class="muted">Exit code <span class="figure">${failure.exit_code}</span></p>`}
        </div></div>
    ${failure?.next_step && html`<p class="next-step"><strong>What to do: </strong>
          <${Text}>${failure.next_step}<//></p>`}
    ${tail.length > 0 && html`<div class="tail">
          <p class="tail-title">Last lines ${link && html`· <a href=${link}>whole log</a>`}</p>
      <pre ref=${end} tabindex="0" role="region" aria-label="Last lines of the log">
        ${tail.map((line, at) =>
            html`<span key=${at} class=${lineClass(line)}>${line}${"\n"}</span>`)}</pre></div>`}
    ${tasks.length > 0 && html`<div class="evidence"><h3>Stopped tasks</h3>
          <ul class="plain">${tasks.map((task) => html`<li key=${task.task}>
      <${Code} title=${task.task}>${task.task.split("/").pop().slice(0, 8)}
      <//> <${Text}>${task.reason}
      <//> ${task.stopped_at && html`<span class="muted nowrap"><${Time} at=${task.stopped_at} />
          </span>`}</li>`)}</ul></div>`}
    ${events.length > 0 && html`<div class="evidence"><h3>Events of ECS</h3>
          <ul class="plain">${events.map((event, at) =>
                html`<li key=${at}><${Text}>${event}<//></li>`)}</ul></div>`}
  </section>`;
}

export function lineClass(text) {
  if (/^(?:#\d+ )?(?:[\d.]+ )?(?:error|fatal|panic)\b/i.test(text)
    || /\bERROR: /.test(text)) return "line-error";
  if (/^(?:#\d+ )?(?:[\d.]+ )?warn(?:ing)?\b/i.test(text)) return "line-warning";
  if (/^\[Container\] |^\[(?:ecs|slipway)\] /.test(text)) return "line-note";
  if (/^#\d+ \[/.test(text)) return "line-step";
  return "";
}

// A filter's words and its choices.
export function SearchField({ value, onInput, label, placeholder = label, ...rest }) {
  return html`<label class="search"><span class="hidden">${label}</span><${Icon} name="search" />
    <input type="search" value=${value} placeholder=${placeholder} onInput=${(event) =>
      onInput(event.target.value)} autocomplete="off" spellcheck=${false} ...${rest} /></label>`;
}

export function Choices({ label, value, onChange, options }) {
  return html`<div class="choices" role="group" aria-label=${label}>
      ${options.map(([key, name, number]) => html`<button type="button" key=${key}
    aria-pressed=${key === value} onClick=${() => onChange(key)}>${name}
      ${number !== undefined && html`<span class="number">${number}</span>`}</button>`)}</div>`;
}

export function Pager({ page, pages, onPage, total, what }) {
  if (pages < 2) return null;
  return html`<nav class="pager" aria-label=${`Pages of ${what}`}>
    <${Button} disabled=${page === 0} onClick=${() => onPage(page - 1)}>Previous<//>
    <span class="muted">Page ${page + 1} of ${pages} · ${count(total, what.replace(/s$/, ""))}
    </span>
    <${Button} disabled=${page === pages - 1} onClick=${() => onPage(page + 1)}>Next<//>
  </nav>`;
}

export function Crumbs({ path }) {
  return html`<nav class="crumbs" aria-label="Path">
      <ol>${path.map(([name, href]) =>
            html`<li key=${name}>${href ? html`<a href=${href}><${Text}>${name}<//></a>`
                  : html`<span aria-current="page"><${Text}>${name}<//></span>`}</li>`)}</ol>
    </nav>`;
}

/** Names of variables that change, with their signs. */
export function NameChanges({ names }) {
  const all = [...names.added.map((name) => ["+", "added", name]),
    ...names.changed.map((name) => ["~", "changed", name]),
    ...names.removed.map((name) => ["−", "removed", name])];
  if (!all.length) return null;
  return html`<ul class="changes">
      ${all.map(([sign, word, name]) =>
          html`<li key=${name}><span class="sign" aria-hidden="true">${sign}</span><${Code}>${name}
              <//><span class="muted"> ${word}</span></li>`)}</ul>`;
}
