// Home: what needs attention, what is under way, what runs.
import {
  can, count, exact, firstLine, html, IDLE, LIVE, replaceQuery, useList, useMemo, useQuery,
  useResource, useState,
} from "./core.js";
import {
  answerWord, Banner, Button, Card, ChecksLine, Choices, Commit, Empty, Icon, Loading, paceOf,
  Pager, Problem, Progress, PullLink, SearchField, sentence, stateOf, Status, Table, Text, Time,
  who,
} from "./ui.js";
import { ResumeDialog, RollbackDialog } from "./actions.js";
import { DaysChart } from "./chart.js";

const PER_PAGE = 25;
const isBusy = (service) => Boolean(service.active || service.waiting || service.open_builds);
const mayMove = ({ active, waiting, open_builds: builds }) =>
  Boolean((active ? !active.awaiting : waiting) || builds);

/** The problems of a service, the worst one first: what it is, why, and where to act. */
export function problemsOf(service) {
  const found = [];
  const { current, failed_deployment: failed, last_build: built } = service;
  if (service.attention) found.push({ tone: "failed", what: "Needs an operator",
      why: service.attention, act: "open" });
  if (service.health) {
    const { running, desired, why } = service.health;
    found.push({ tone: "failed", what: `${running} of ${desired} tasks run`, why: why ?? "",
        act: "rollback" });
  }
  if (service.active?.awaiting === "approval") {
    found.push({ tone: "waiting", what: `Deployment ${service.active.id} awaits approval`, why: "",
        act: "approval", id: service.active.id });
  }
  if (failed && !service.active) {
    found.push({ tone: "failed", what: `Deployment ${failed.id} failed`, why: failed.error ?? "",
        at: failed.finished_at, act: "deployment", id: failed.id });
  }
  if (built?.status === "failed") {
    found.push({ tone: "failed", what: `Build ${built.id} failed`,
        why: `${built.error ?? ""}${service.open_builds ? " (a newer build is open)" : ""}`,
        at: built.finished_at, act: "build", id: built.id });
  }
  if (service.drift) found.push({ tone: "waiting", what: "ECS runs something else",
      why: service.drift, act: "open" });
  if (service.auto_deploy_paused) found.push({ tone: "waiting", what: "Auto-deploy is paused",
      why: service.auto_deploy_paused, act: "resume" });
  return found;
}

const STATES = [
  ["all", "All", () => true],
  ["attention", "Attention", (service) => problemsOf(service).length > 0],
  ["busy", "Under way", isBusy],
  ["calm", "Stable", (service) => !isBusy(service) && !problemsOf(service).length
    && service.current],
  ["new", "Not released", (service) => !service.current],
];

export function Home() {
  const list = useList("v1/services", { all: true, isLive: mayMove });
  const metrics = useResource("v1/cicd/metrics?days=30", () => 60000);
  const services = list.items;
  const queue = useResource("v1/cicd/queue", (found) => (found.total ? LIVE : IDLE));
  const [dialog, setDialog] = useState(null);
  if (!services) return list.error
    ? html`<${Problem} error=${list.error} what="the services" page />`
    : html`<${Loading} what="Loading services" />`;
  if (list.complete && !services.length) return html`<${Welcome} />`;
  const troubled = services.map((service) =>
    ({ service, problems: problemsOf(service) })).filter(({ problems }) => problems.length);
  troubled.sort((a, b) => rank(a) - rank(b));
  const busy = services.filter(isBusy);
  return html`<div class="stack">
    <div class="head"><div class="head-text"><h1 tabindex="-1">Services</h1>
      <p>${count(services.length, "service")}
        ${list.complete ? "" : " so far"}${troubled.length
          ? ` · ${troubled.length} ${troubled.length === 1 ? "needs" : "need"} attention`
          : list.complete && !list.error ? " · all stable" : ""}${busy.length
          ? ` · ${busy.length} under way` : ""}</p></div></div>
    ${list.error && html`<${Banner} tone="failed"
          title=${list.complete ? "The services cannot be read now" : "Not all services are shown"}>
        ${[list.complete && "What you see is old.", sentence(list.error.message),
          "The page tries again by itself."].filter(Boolean).join(" ")}<//>`}
    <${Attention} troubled=${troubled} onAct=${setDialog} />
    <div class="columns">
      <div class="stack"><${UnderWay} services=${services} builds=${queue.data?.items} />
        <${Services} services=${services} list=${list} /></div>
      <div class="stack"><${Queue} services=${services} queue=${queue} />
        ${(metrics.data || !metrics.error) && html`<${Card} title="Deployments per day"
              aside=${html`<a href="#/metrics">Metrics</a>`}>
              <${DaysChart} metrics=${metrics.data} kind="deployments" /><//>`}</div>
    </div>
    ${dialog?.act === "rollback"
      && html`<${RollbackDialog} service=${dialog.service} onClose=${() => setDialog(null)} />`}
    ${dialog?.act === "resume"
      && html`<${ResumeDialog} service=${dialog.service} onClose=${() => setDialog(null)} />`}
  </div>`;
}

const rank = ({ problems }) => (problems[0].tone === "failed" ? 0 : 1);

function Welcome() {
  return html`<div class="stack"><div class="head"><h1 tabindex="-1">Services</h1></div>
    <div class="card"><${Empty} title="No service yet"
        command=${`curl -sS "${new URL("v1/projects", location.href)}" \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"name": "shop"}'

curl -sS "${new URL("v1/projects/1/services", location.href)}" \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"name": "web", "git_url": "https://github.com/example/app.git",
       "image_repository": "myapp", "ecs_cluster": "default",
       "ecs_service": "web", "containers": ["web"]}'`}>
         A service is a repository, an image and an ECS service. Create a project and its first
         service with an admin token:
       <//></div></div>`;
}

function Attention({ troubled, onAct }) {
  const [all, setAll] = useState(false);
  if (!troubled.length) return null;
  const shown = all ? troubled : troubled.slice(0, 6);
  return html`<${Card} title="Needs attention" class="attention"
      aside=${html`<span class="figure">${troubled.length}</span>`}>
    <ul>${shown.map(({ service, problems: [first, ...others] }) =>
          html`<li key=${service.id} class=${first.tone}>
      <${Icon} name=${first.tone === "failed" ? "failed" : "warning"}
        label=${first.tone === "failed" ? "Problem" : "Warning"} />
      <${ServiceName} service=${service} />
      <div><p class="why"><span><strong>${first.what}</strong>
            ${first.at && html` <span class="muted"><${Time} at=${first.at} /></span>`}
            ${first.why && html` · <${Text}>${first.why}<//>`}</span></p>
        ${others.length > 0 && html`<p class="also">
              Also: ${others.map((other) => other.what.toLowerCase()).join(", ")}</p>`}</div>
      <div class="act"><${Act} service=${service} problem=${first} onAct=${onAct} /></div></li>`)}
      </ul>
    ${troubled.length > 6 && html`<div class="pager">
          <${Button} onClick=${() => setAll(!all)}>
            ${all ? "Show fewer" : `Show all ${troubled.length}`}<//></div>`}
  <//>`;
}

function Act({ service, problem, onAct }) {
  const open = (href, text) => html`<a class="button" href=${href}>${text}</a>`;
  if (problem.act === "approval") return open(`#/deployments/${problem.id}`, answerWord());
  if (problem.act === "build") return open(`#/builds/${problem.id}`, "Show why");
  if (problem.act === "deployment") return open(`#/deployments/${problem.id}`, "Show why");
  if (problem.act === "rollback"
    && can("deployer")) return html`<${Button} kind="danger" onClick=${() =>
      onAct({ act: "rollback", service })}>Roll back…<//>`;
  if (problem.act === "resume"
    && can("admin")) return html`<${Button} onClick=${() => onAct({ act: "resume", service })}>
      Resume…<//>`;
  return open(`#/services/${service.id}`, "Open");
}

export function ServiceName({ service }) {
  return html`<div class="two">
      <a class="name" href=${`#/services/${service.id}`}><${Text}>${service.name}<//></a>
      <span class="sub"><${Text} class="clip">${service.project}<//></span></div>`;
}

function UnderWay({ services, builds = [] }) {
  const rows = [
    ...services.filter((service) => service.active).map((service) =>
      ({ key: service.active.job_id, service, job: service.active,
          href: `#/deployments/${service.active.id}`, word: service.active.trigger === "rollback"
          ? "Rollback" : "Deployment" })),
    ...builds.filter((build) => build.status !== "queued").map((build) => ({ key: build.job_id,
          service: services.find((each) => each.id === build.service_id), job: build,
          href: `#/builds/${build.id}`, word: "Build" })),
  ];
  if (!rows.length) return null;
  return html`<${Card} title="Under way" class="work"
      aside=${html`<span class="figure">${rows.length}</span>`}>
      <ul>${rows.map((row) => html`<${WorkItem} key=${row.key} ...${row} />`)}</ul><//>`;
}

function WorkItem({ service, job: summary, href, word }) {
  const kind = word === "Build" ? "builds" : "deployments";
  const job = { ...summary,
    ...useResource(`v1/cicd/${kind}/${summary.id}`, paceOf).data };
  return html`<li><div class="work-title">
        <span><a class="name" href=${href}>${word} ${job.id}
          </a>${service && html` of <a href=${`#/services/${service.id}`}>
                <${Text}>${service.name}<//></a>`}
          ${job.pull_request ? html` <span class="muted">· <${PullOf} build=${job}
                service=${service} /></span>`
            : job.commit_message && html` <span class="muted">
                · <${Text}>${firstLine(job.commit_message)}<//></span>`}</span>
      <span class="muted nowrap"><${Time} at=${job.started_at ?? job.created_at} /></span></div>
    <${Progress} job=${job} /></li>`;
}

function Queue({ services, queue }) {
  const builds = queue.data?.items.filter((build) => build.status === "queued") ?? [];
  const hidden = queue.data ? queue.data.total - queue.data.items.length : 0; // they wait, too
  const waiting = services.filter((service) => service.waiting);
  const number = builds.length + hidden + waiting.length;
  const cut = hidden > 0 || builds.length > SHOWN || waiting.length > SHOWN;
  return html`<${Card} title="Queue" class="work"
      aside=${queue.data && html`<span class="figure">${number}</span>`}>
    ${queue.error
      && html`<p class="card-body muted" role="alert">The queue cannot be read now.</p>`}
    ${!queue.data && !queue.error && html`<p class="card-body muted">Reading the queue…</p>`}
    ${queue.data && !queue.error && number === 0
      && html`<p class="card-body muted">The queue is empty.</p>`}
    ${builds.length + waiting.length > 0 && html`<ul>
      ${builds.slice(0, SHOWN).map((build) =>
          html`<${QueuedBuild} key=${build.job_id} build=${build}
              service=${services.find((each) => each.id === build.service_id)} />`)}
      ${waiting.slice(0, SHOWN).map((service) =>
          html`<li key=${service.waiting.job_id}>
              <div class="work-title">
                <span><${Status} status="queued" bare /> <a class="name"
                    href=${`#/deployments/${service.waiting.id}`}>Deployment ${service.waiting.id}
                  </a> of <${Text}>${service.name}<//></span></div>
        <p class="muted">${service.waiting.waiting_for_checks
            ? html`<${ChecksLine} checks=${service.waiting.waiting_for_checks} />`
            : service.active ? `Waits for deployment ${service.active.id}`
            : "Waits for its turn"}</p></li>`)}</ul>`}
    ${cut && html`<p class="card-body muted">
          ${[count(builds.length + hidden, "build"), count(waiting.length, "deployment")]
            .filter((text) => !text.startsWith("0 ")).join(" and ")} wait; not all are shown.</p>`}
  <//>`;
}

const SHOWN = 8;

function QueuedBuild({ build, service }) {
  return html`<li><div class="work-title">
        <span><${Status} status="queued" bare /> <a class="name" href=${`#/builds/${build.id}`}>
            Build ${build.id}</a>${service && html` of <${Text}>${service.name}<//>`}
          ${build.pull_request && html` <span class="muted">
                · <${PullOf} build=${build} service=${service} /></span>`}</span>
    ${build.position && html`<span class="muted nowrap figure">Place ${build.position}</span>`}
    </div>
    <p class="muted">${build.waiting_for ? html`Waits for <${Text}>${build.waiting_for}<//>`
        : html`Since <${Time} at=${build.created_at} />`}</p></li>`;
}

function PullOf({ build, service }) {
  const { number, title } = build.pull_request;
  return html`<${PullLink} number=${number} gitUrl=${service?.git_url} />: <${Text}>${title}<//>`;
}

function Services({ services, list }) {
  const [text] = useQuery("q");
  const [state] = useQuery("state", "all");
  const [page, setPage] = useQuery("page", 1);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = useMemo(() => services
    .filter((service) => {
      const { commit_message: message, commit_sha: sha, image_tag: image } = service.current ?? {};
      const hay = [`${service.project}/${service.name}`, service.branch, message, sha, image]
        .join(" ").toLowerCase();
      return words.every((word) => hay.includes(word));
    })
    .sort((a, b) => `${a.project}/${a.name}`.localeCompare(`${b.project}/${b.name}`)),
      [services, text]);
  const passes = STATES.find(([key]) => key === state)?.[2] ?? STATES[0][2];
  const shown = found.filter(passes);
  const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
  const at = Math.max(1, Math.min(Number(page) || 1, pages)) - 1;
  return html`<${Card} title="All services" class="services"
      aside=${!list.complete && !list.error && html`<${Icon} name="running" /> loading`}>
    <div class="tools"><${SearchField} label="Filter services"
        placeholder="Filter by name, branch, commit or image" value=${text}
        onInput=${(value) => replaceQuery({ q: value, page: null })} data-hotkey="/" />
      <${Choices} label="State" value=${state} onChange=${(value) =>
          replaceQuery({ state: value === "all" ? null : value, page: null })}
        options=${STATES.map(([key, name, test]) =>
          [key, name, found.filter(test).length]).filter(([key, , number]) => number
          || key === "all" || key === state)} /></div>
    ${shown.length ? html`<${Table} label="Services" keyOf=${(service) => service.id}
          rows=${shown.slice(at * PER_PAGE, (at + 1) * PER_PAGE)} columns=${COLUMNS} />`
      : html`<${Empty} title="No service matches">Change the words or the state.<//>`}
    <${Pager} page=${at} pages=${pages} total=${shown.length} what="services"
      onPage=${(next) => setPage(next + 1)} />
  <//>`;
}

export function Tasks({ service }) {
  const { health, tasks, current } = service;
  if (health) return html`<${Status} status="failed"
      word=${`${health.running}/${health.desired}`} />`;
  if (tasks) {
    return html`<span title=${tasks.seen_at ? `since ${exact(tasks.seen_at)}` : undefined}>
        <${Status} status=${taskStatus(tasks)} word=${tasks.desired
            ? `${Math.min(tasks.running, tasks.desired)}/${tasks.desired}` : "0 wanted"} /></span>`;
  }
  return current ? html`<${Status} status="unseen" word="Not seen yet" />`
    : html`<span class="muted">–</span>`;
}

/** What the number of tasks looks like. No task at all says nothing about health. */
export const taskStatus = ({ running, desired }) =>
  (desired === 0 ? "unseen" : running >= desired ? "success" : "deploying");

const COLUMNS = [
  { name: "Service", show: (service) => html`<${ServiceName} service=${service} />` },
  { name: "Runs", show: (service) => {
    const { current } = service;
    if (!current) return html`<span class="muted">Not released yet</span>`;
    return html`<div class="two">
        ${service.drift && html`<span class="sub">ECS runs something else. Last release:</span>`}
        <${Commit} sha=${current.commit_sha} message=${current.commit_message ?? current.reason}
          gitUrl=${service.git_url} />
      <span class="sub"><a href=${`#/deployments/${current.id}`}>Deployment ${current.id}
        </a> <${Text} class="clip">${current.image_tag ?? ""}<//></span></div>`;
  } },
  { name: "Since", show: ({ current }) => current
    && html`<div class="two"><${Time} at=${current.finished_at} />
        <span class="sub"><${Text}>${by(current)}<//></span></div>` },
  { name: "Tasks", show: (service) => html`<${Tasks} service=${service} />` },
  { name: "State", show: (service) => html`<${StateOf} service=${service} />` },
];

export function by(release) {
  if (release.author && release.trigger === "push") return release.author;
  return who(release.requested_by);
}

function StateOf({ service }) {
  const [first] = problemsOf(service);
  const { active, waiting } = service;
  if (active) return html`<a href=${`#/deployments/${active.id}`}>
      <${Status} status=${stateOf(active)} word=${active.awaiting ? undefined
        : active.trigger === "rollback" ? "Rolling back" : "Deploying"} /></a>`;
  if (service.open_builds) return html`<${Status} status="building" word=${service.open_builds > 1
      ? `${service.open_builds} builds` : "Building"} />`;
  if (waiting) return html`<${Status} status="queued" word=${waiting.waiting_for_checks
      ? "Waits for checks" : undefined} />`;
  if (first) return html`<span class=${`status ${first.tone}`}>
      <${Icon} name=${first.tone === "failed" ? "failed" : first.act === "resume" ? "pause"
        : "warning"} />${SHORT[first.act] ?? "Attention"}</span>`;
  if (!service.current) return html`<span class="muted">–</span>`;
  return html`<span class="muted">Stable</span>`;
}

const SHORT = { build: "Build failed", deployment: "Deploy failed", rollback: "Unhealthy",
  resume: "Paused" };
