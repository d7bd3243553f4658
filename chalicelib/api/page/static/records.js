// Deliveries of webhooks, the audit trail, and tokens: lists with filters.
import {
  can, change, duration, exact, html, notify, now, session, unsure, useEffect, useList, useQuery,
  useState,
} from "./core.js";
import {
  Banner, Button, Choices, Code, Copy, Dialog, Empty, FailureText, Icon, Loading, Problem, PullLink,
  SearchField, Status, Table, Text, Time, who,
} from "./ui.js";
import { ConfirmDialog, useAction } from "./actions.js";
import { useTitle } from "./build.js";

export function useRecords(path) {
  const list = useList(path);
  const more = useAction(list.load);
  return { ...list, more: list.more ? more : null };
}

export function useWords() {
  const [text, setText] = useQuery("q");
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return { text, setText, matches: (hay) => words.every((word) => hay.toLowerCase().includes(word))
  };
}

export function Page({ title, about, list, tools, rows, columns, keyOf, what, empty, action }) {
  useTitle(title);
  return html`<div class="stack">
      <div class="head"><div class="head-text"><h1 tabindex="-1">${title}</h1><p>${about}</p></div>
        ${action && html`<div class="actions">${action}</div>`}</div>
    <section class="card" aria-label=${title}><div class="tools">${tools}</div>
      ${!list.items ? (list.error ? html`<${Problem} error=${list.error} what=${what} />`
          : html`<${Loading} what=${`Loading ${what}`} />`)
        : !list.items.length ? empty
        : !rows.length ? html`<${Empty} title="Nothing matches">
            ${list.more ? "Load older entries, or change the filter." : "Change the filter."}<//>`
        : html`<${Table} label=${title} rows=${rows} columns=${columns} keyOf=${keyOf} />`}
      ${list.more && html`<div class="pager"><span class="muted">${rows.length} shown</span>
            <${FailureText} error=${list.more.error} />
            <${Button} busy=${list.more.busy} onClick=${() => list.more.start()}>Load older<//>
          </div>`}
    </section></div>`;
}

// Deliveries

const OUTCOMES = [["all", "All"], ["started", "Started"], ["ignored", "Ignored"],
  ["duplicate", "Duplicate"]];

/** The projects to choose from. They seldom change. */
export function useProjects() {
  const { items, complete } = useList("v1/projects", { all: true, limit: 100, idlePause: 60000 });
  return { projects: items ?? [], complete };
}

export function ProjectOptions({ projects, complete, word = "", prefix = "" }) {
  return html`${projects.map((each) =>
      html`<option key=${each.id} value=${`${prefix}${each.id}`}>${word}${each.name}</option>`)}
    ${!complete && html`<option disabled>Loading more…</option>`}`;
}

/** The names of services by their numbers, as far as the token may see them. */
function useNames() {
  const { items } = useList("v1/services", { all: true });
  const names = new Map((items ?? []).map((service) => [service.id, service.name]));
  return (id) => names.get(id) ?? `service ${id}`;
}

export function Deliveries() {
  const nameOf = useNames();
  const list = useRecords("v1/webhooks/github/deliveries");
  const words = useWords();
  const [outcome, setOutcome] = useQuery("outcome", "all");
  const matching = (list.items ?? []).filter((row) =>
    words.matches(`${row.repository} ${row.ref} ${row.sha} ${row.sender} ${row.event} ${row.reason
        ?? ""} ${row.pull_request ? `pull request ${row.pull_request}` : ""}`));
  const rows = matching.filter((row) => outcome === "all" || row.outcome === outcome);
  const options = OUTCOMES.map(([key, name]) =>
    [key, name, matching.filter((row) => key === "all" || row.outcome === key).length]);
  return html`<${Page} title="Deliveries" what="deliveries" list=${list} rows=${rows}
      keyOf=${(row) => row.id}
    about=${"What GitHub's webhook delivered in the last 30 days, the lost pushes that Slipway "
      + "found, and what came of it."}
    tools=${html`<${SearchField} label="Filter deliveries"
          placeholder="Filter by repository, ref, commit or sender" value=${words.text}
          onInput=${words.setText} />
        <${Choices} label="Outcome" value=${outcome} onChange=${setOutcome} options=${options} />`}
    empty=${html`<${Empty} title="No delivery yet"
          command=${new URL("v1/webhooks/github", location.href).href}>
          Add a webhook to the repository on GitHub: content type application/json, the secret,
              the events “Pushes” and, if they are built, “Pull requests”, and this URL:
        <//>`}
    columns=${[
      { name: "Outcome", show: (row) => html`<${Status} status=${row.outcome} />` },
      { name: "Push or pull request", show: (row) =>
        html`<div class="two"><${Text} class="name">
              ${row.repository?.replace(/^github\.com\//, "") ?? row.event}<//>
            <span class="sub"><${Text}>${(row.ref ?? "").replace(/^refs\/(heads|tags)\//, "")}<//>
              ${row.sha && html`<${Code}>${row.sha.slice(0, 7)}<//>`}
              ${row.pull_request && html`<span><${PullLink} number=${row.pull_request}
                    gitUrl=${`https://${row.repository}`} /></span>`}</span></div>` },
      { name: "What came of it", show: (row) =>
        html`<div class="two">${row.services.map((each) =>
                html`<span key=${each.service_id}>
                    ${each.build_id ? html`<a href=${`#/builds/${each.build_id}`}>
                          Build ${each.build_id}</a> of ` : ""}
                    <a href=${`#/services/${each.service_id}`}><${Text}>${nameOf(each.service_id)}
                      <//></a>${each.reason && !each.build_id ? html`: <${Text}>${each.reason}<//>`
                      : ""}</span>`)}${row.reason && !row.services.length
              && html`<${Text}>${row.reason}<//>`}</div>` },
      { name: "Sender", show: (row) => html`<${Text}>${row.sender ?? "–"}<//>` },
      { name: "Received", show: (row) =>
        html`<div class="two"><${Time} at=${row.last_received_at} />
            ${row.found_after_seconds != null && html`<span class="sub">
                  found ${duration(row.found_after_seconds)} after the push</span>`}
            ${row.times_received > 1 && html`<span class="sub">${row.times_received} times</span>`}
          </div>` },
    ]} />`;
}

// Audit

export function Audit() {
  const all = can("admin") && !session.get().whoami?.project_id;
  const own = session.get().whoami;
  const [project, setProject] = useQuery("project", all ? "" : String(own?.project_id ?? ""));
  const { projects, complete } = useProjects();
  const words = useWords();
  const path = own?.service_id ? `v1/audit?service_id=${own.service_id}` : project
    ? `v1/audit?project_id=${project}` : all ? "v1/audit" : null;
  useEffect(() => { if (!all && !project && projects.length) setProject(String(projects[0].id)); },
    [projects.length]);
  const list = useRecords(path);
  if (!path && complete && !projects.length) list.items = []; // no project, no change
  const rows = (list.items ?? []).filter((row) =>
    words.matches(`${row.actor} ${row.action} ${row.subject} ${row.address
        ?? ""} ${JSON.stringify(row.details)}`));
  return html`<${Page} title="Audit" what="the audit trail" list=${list} rows=${rows}
      keyOf=${(row) => row.id}
    about="Who changed what, when, and from where."
    tools=${html`<${SearchField} label="Filter the audit trail"
          placeholder="Filter by actor, action or subject" value=${words.text}
          onInput=${words.setText} />
      ${!own?.service_id && html`<label><span class="hidden">Project</span>
            <select value=${project} onChange=${(event) => setProject(event.target.value)}>
              ${all && html`<option value="">All projects</option>`}
              <${ProjectOptions} projects=${projects} complete=${complete} /></select></label>`}`}
    empty=${html`<${Empty} title="No change yet">
          Each change of a project, service, token, build or deployment is listed here.<//>`}
    columns=${[
      { name: "When", show: (row) => html`<div class="two nowrap"><${Time} at=${row.at} />
            <span class="sub">${exact(row.at)}</span></div>` },
      { name: "Actor", show: (row) =>
        html`<div class="two"><${Text} class="name">${who(row.actor)}<//>
            <span class="sub">${row.actor.startsWith("github:") ? "GitHub" : row.address
                ?? "Slipway itself"}</span></div>` },
      { name: "Action", show: (row) => html`<${Code}>${row.action}<//>` },
      { name: "Subject", show: (row) => html`<${Subject} subject=${row.subject} />` },
      { name: "Details", show: (row) => html`<${Details} details=${row.details} />` },
    ]} />`;
}

const PLACES = { service: "services", build: "builds", deploy: "deployments" };

function Subject({ subject }) {
  const [, kind, number] = /^(\w+)-(\d+)$/.exec(subject) ?? [];
  return PLACES[kind] ? html`<a class="nowrap" href=${`#/${PLACES[kind]}/${number}`}>${subject}</a>`
    : html`<${Text}>${subject}<//>`;
}

function Details({ details }) {
  const entries = Object.entries(details ?? {}).filter(([, value]) => value !== null
    && worded(value) !== "");
  if (!entries.length) return html`<span class="muted">–</span>`;
  return html`<div class="inline">
      ${entries.slice(0, 5).map(([name, value]) =>
          html`<span key=${name}><span class="muted">${name.replaceAll("_", " ")}
              </span> <${Text}>${brief(value)}<//></span>`)}
      ${entries.length > 5 && html`<span class="muted">and ${entries.length - 5} more</span>`}
    </div>`;
}

function worded(value) {
  if (Array.isArray(value)) return value.map(worded).join(", ");
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value).filter(([, each]) => worded(each)).map(([name, each]) =>
    `${name} ${worded(each)}`).join("; ");
}

function brief(value) {
  const text = worded(value).replace(/\b([0-9a-f]{12})[0-9a-f]{28,52}\b/g, "$1");
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}

// Tokens

const HOUR = 3600_000; // Slipway notes the use of a token once an hour

export function Tokens() {
  const own = session.get().whoami;
  const allowed = can("admin") && !own?.project_id;
  const list = useRecords("v1/tokens");
  const words = useWords();
  const [dialog, setDialog] = useState(null);
  const rows = (list.items ?? []).filter((row) =>
    words.matches(`${row.name} ${row.role} ${row.created_by}`));
  return html`<${Page} title="Tokens" what="the tokens" list=${list} rows=${rows} keyOf=${(row) =>
      row.id}
    about="Who may call Slipway, and with which role."
    action=${allowed && html`<${Button} kind="primary" onClick=${() =>
          setDialog({ act: "create" })}>New token…<//>`}
    tools=${html`<${SearchField} label="Filter tokens" placeholder="Filter by name, role or creator"
          value=${words.text} onInput=${words.setText} />`}
    empty=${html`<${Empty} title="No token" />`}
    columns=${[
      { name: "Name", show: (row) =>
        html`<div class="two"><span><${Text} class="name">${row.name}<//>
              ${row.id === own?.token_id && html` <span class="muted">(yours)</span>`}</span>
            <span class="sub"><span>by <${Text}>${who(row.created_by)}<//></span></span></div>` },
      { name: "Role", show: (row) => row.role },
      { name: "Reach", show: (row) =>
        (row.service_id ? html`<a href=${`#/services/${row.service_id}`}>service ${row.service_id}
            </a>` : row.project_id ? `project ${row.project_id}` : "all projects") },
      { name: "Last used", show: (row) =>
        (!row.last_used_at ? html`<span class="muted">never</span>`
          : now() - Date.parse(row.last_used_at) < HOUR ? "in the last hour"
          : html`<${Time} at=${row.last_used_at} />`) },
      { name: "Expires", show: (row) =>
        (row.expires_at ? (Date.parse(row.expires_at) < now()
            ? html`<${Status} status="cancelled" word="Expired" />`
            : html`<${Time} at=${row.expires_at} />`) : html`<span class="muted">never</span>`) },
      { name: "Change", show: (row) =>
        (row.id === own?.token_id ? html`<span class="muted">in use</span>`
          : html`<${Button} kind="danger" onClick=${() => setDialog({ act: "revoke", row })}
              aria-label=${`Revoke the token ${row.name}`}>Revoke…<//>`) },
    ]} />
    ${dialog?.act === "create" && html`<${NewToken} onClose=${() => setDialog(null)} />`}
    ${dialog?.act === "revoke"
      && html`<${ConfirmDialog} title=${`Revoke the token “${dialog.row.name}”?`}
          confirm="Revoke it" danger onClose=${() => setDialog(null)}
      run=${async () => { await change("DELETE", `v1/tokens/${dialog.row.id}`);
          notify(`The token ${dialog.row.name} is revoked.`); }}>
        <p>Requests with it fail from now on. This cannot be undone.</p><//>`}`;
}

function NewToken({ onClose }) {
  const [form, setForm] = useState({ name: "", role: "viewer", project: "", days: "90" });
  const [made, setMade] = useState(null);
  const { projects, complete } = useProjects();
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const action = useAction(async () => {
    const body = { name: form.name.trim(), role: form.role,
      ...(form.project && { project_id: Number(form.project) }),
      expires_in_days: form.days ? Number(form.days) : null };
    try {
      setMade(await change("POST", "v1/tokens", body));
    } catch (error) { // this request takes no key
      throw unsure(error, "created. Look in the list and revoke it: its secret is lost.");
    }
  });
  if (made) {
    return html`<${Dialog} title=${`Token “${made.name}”`} stays
        footer=${html`<${Button} kind="primary" onClick=${onClose}>Done<//>`}>
      <${Banner} title="Copy it now">Slipway keeps only its hash and shows it only once.<//>
      <p>${made.expires_at ? html`It expires <${Time} at=${made.expires_at} />.`
        : "It never expires."}</p>
      <div class="command"><pre tabindex="0" role="region" aria-label="Token">${made.token}</pre>
        <${Copy} text=${made.token} what="token" /></div><//>`;
  }
  return html`<${Dialog} title="New token" onClose=${onClose} onSubmit=${action.start}
      busy=${action.busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${action.busy}>Close<//>
          <button type="submit" class="button primary" disabled=${action.busy || !form.name.trim()}>
            ${action.busy && html`<${Icon} name="running" />`}Create</button>`}>
    <label class="field"><span>Name</span>
      <input type="text" value=${form.name} onInput=${set("name")} required maxlength="100" />
    </label>
    <label class="field"><span>Role</span>
      <select value=${form.role} onChange=${set("role")}><option value="viewer">viewer: reads
        </option><option value="deployer">deployer: also builds, deploys, rolls back</option>
        <option value="admin">admin: also settings and tokens</option></select></label>
    <label class="field"><span>Reach</span>
      <select value=${form.project} onChange=${set("project")}><option value="">all projects
        </option><${ProjectOptions} projects=${projects} complete=${complete} word="project " />
      </select></label>
    <label class="field"><span>Expires</span>
      <select value=${form.days} onChange=${set("days")}><option value="7">in 7 days</option>
        <option value="90">in 90 days</option><option value="365">in a year</option>
        <option value="">never</option></select></label>
    <${FailureText} error=${action.error} />
  <//>`;
}
