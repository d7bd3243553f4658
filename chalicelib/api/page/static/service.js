// One service: what runs, what happened, its settings and its configuration.
import {
  can, count, exact, Failure, html, IDLE, LIVE, repositoryUrl, useList, useResource, useState,
} from "./core.js";
import {
  answerWord, Await, Banner, Button, By, Card, ChecksLine, Code, Commit, Crumbs, Digest, Empty,
  Facts, FailureText, isOpen, Loading, NotAllowed, paceOf, Problem, Progress, PullLink, stateOf,
  Status, Table, Text, Time, who,
} from "./ui.js";
import {
  BuildDialog, DeployDialog, ResumeDialog, RollbackDialog, StopAutoDeployDialog, useAction,
} from "./actions.js";
import { useTitle } from "./build.js";
import { ChannelState, mayChannels, useChannelsOf } from "./told.js";
import { taskStatus } from "./home.js";
import { RolloutSettings } from "./rollout.js";

const isBusy = (service) => service.active_deployment_id || service.waiting_deployment_id;

/** Whether a deployment may change at any time. An awaited approval may take days. */
const isMoving = (service, active) => isBusy(service) && !active.data?.awaiting;
const deploymentPath = (id) => (id ? `v1/cicd/deployments/${id}` : null);

export function Service({ id, part }) {
  const builds = useList(`v1/cicd/services/${id}/builds`, { limit: 20, isLive: isOpen });
  // The end of a build may begin a deployment.
  const found = useResource(`v1/services/${id}`, (service) =>
    (isMoving(service, active) || builds.items?.some(isOpen) ? LIVE : IDLE));
  const active = useResource(deploymentPath(found.data?.active_deployment_id), paceOf);
  return html`<${Await} of=${found} what=${`service ${id}`} page>
      ${(service) => html`<${Shown} service=${service} builds=${builds} active=${active}
          part=${part ?? "timeline"} />`}<//>`;
}

function Shown({ service, builds, active, part }) {
  const project = useResource(`v1/projects/${service.project_id}`, () => null).data;
  const release = useResource(service.current_deployment_id
    ? `v1/cicd/deployments/${service.current_deployment_id}` : null, () => 60000);
  const current = release.data;
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  const base = `#/services/${service.id}`;
  const channels = useChannelsOf(service);
  const deploys = Boolean(service.ecs_service);
  useTitle(service.name, project?.name);
  const withCurrent = { ...service, current };
  const tabs = [["timeline", "Timeline", base], ["settings", "Settings", `${base}/settings`],
    ["config", "Configuration", `${base}/config`], ["access", "Access", `${base}/access`]];
  const goBack = (to) => setDialog({ act: "back", to });
  return html`<div class="stack">
    <div><${Crumbs} path=${[["Services", "#/"], [project?.name ?? `Project ${service.project_id}`],
          [service.name]]} />
      <div class="head"><div class="head-text">
          <div class="head-title"><h1 tabindex="-1"><${Text}>${service.name}<//></h1>
            <${Health} service=${service} /></div>
        <p><${Origin} of=${service} /></p></div>
        <div class="actions">${can("deployer") && html`
          ${deploys && html`<${Button} kind="primary" onClick=${() => setDialog({ act: "deploy" })}>
                Deploy…<//>`}
          ${!service.image_from && html`<${Button} onClick=${() => setDialog({ act: "build" })}>
                Build…<//>`}
          ${deploys && service.current_deployment_id
            && html`<${Button} kind="danger" onClick=${() => goBack()}>Roll back…<//>`}`}
          ${can("admin") && service.auto_deploy && !service.auto_deploy_paused
            && html`<${Button} onClick=${() => setDialog({ act: "stop" })}>Auto-deploy off…<//>`}
          ${can("admin") && !service.auto_deploy && service.ecs_service
            && html`<${Button} onClick=${() => setDialog({ act: "resume" })}>Auto-deploy on…<//>`}
          </div></div>
      <${NotAllowed} role="deployer" what="deploying and rolling back" /></div>
    ${service.attention && html`<${Banner} tone="failed" icon="failed" title="Needs an operator">
          ${service.attention}<//>`}
    ${service.health && html`<${Banner} tone="failed" icon="failed"
          title=${`${service.health.running} of ${service.health.desired} tasks run`}
          action=${can("deployer")
          && html`<${Button} kind="danger" onClick=${() => goBack()}>Roll back…<//>`}>
          ${service.health.why ?? ""}<//>`}
    ${service.rollback_trouble
      && html`<${Banner} icon="back" title="The release before cannot be restored">
          ${service.rollback_trouble}<//>`}
    ${service.drift && html`<${Banner} title="ECS runs something else">${service.drift}<//>`}
    ${service.auto_deploy_paused
      && html`<${Banner} icon="pause" title="Auto-deploy is paused" action=${can("admin")
          && html`<${Button} onClick=${() => setDialog({ act: "resume" })}>Resume…<//>`}>
          ${service.auto_deploy_paused}<//>`}
    ${channels.filter((each) => each.off_since).map((each) => html`<${Banner} key=${each.id}
          title=${`The channel ${each.name} is off`}
          action=${html`<a class="button" href="#/channels">Channels</a>`}>
          ${each.trouble ? `It is told nothing: ${each.trouble}` : "It is told nothing."}<//>`)}
    <div class="halves">
      <${Card} title=${service.drift ? "Last release" : "Runs now"} aside=${current
        && html`<a href=${`#/deployments/${current.id}`}>Deployment ${current.id}</a>`}>
        ${service.current_deployment_id ? html`<${Await} of=${release} what="the release">
          ${() => html`<${Facts} rows=${[
          ["Commit", html`<${Commit} sha=${current.commit_sha} message=${current.commit_message}
                gitUrl=${service.git_url} />`],
          ["Image", html`<${Code}>${current.image_tag}<//>`],
          ["Digest", html`<${Digest} digest=${current.image_digest} />`],
          current.build_id && ["Build",
            html`<a href=${`#/builds/${current.build_id}`}>Build ${current.build_id}</a>`],
          ["Since", html`<${Time} at=${current.finished_at} full />`],
          ["By", html`<${Text}>${who(current.requested_by)}<//>`],
        ]} />`}<//>` : html`<${Empty} title="Not released yet">
          ${!deploys ? "This service has no ECS target: it is only built."
          : service.image_from ? "Deploy an image." : "Build the branch, then deploy the image."}
          <//>`}<//>
      <${Next} service=${service} builds=${builds} active=${active} />
    </div>
    <nav class="tabs" aria-label="Parts of the service">
      ${tabs.map(([key, name, href]) =>
          html`<a key=${key} href=${href} aria-current=${key === part ? "page" : undefined}>${name}
            </a>`)}</nav>
    ${!tabs.some(([key]) => key === part)
      && html`<div class="card"><${Problem} error=${new Failure(404)} /></div>`}
    ${part === "timeline"
      && html`<${Timeline} service=${service} builds=${builds}
          active=${active} onBack=${goBack} />`}
    ${part === "settings" && html`<${Settings} service=${service} channels=${channels} />`}
    ${part === "config" && html`<${Config} service=${service} />`}
    ${part === "access" && html`<${Access} service=${service} />`}
    ${dialog?.act === "deploy" && html`<${DeployDialog} service=${withCurrent} onClose=${close} />`}
    ${dialog?.act === "build" && html`<${BuildDialog} service=${service} onClose=${close} />`}
    ${dialog?.act === "back"
      && html`<${RollbackDialog} service=${withCurrent} deploymentId=${dialog.to}
          onClose=${close} />`}
    ${dialog?.act === "resume" && html`<${ResumeDialog} service=${service} onClose=${close} />`}
    ${dialog?.act === "stop"
      && html`<${StopAutoDeployDialog} service=${service} onClose=${close} />`}
  </div>`;
}

/** Where the images come from. */
function Origin({ of: service }) {
  if (service.image_from) return html`Deploys the images of <${Source} of=${service} />`;
  const url = repositoryUrl(service.git_url);
  const name = html`<${Text}>${url ? url.replace(/^https:\/\//, "") : service.git_url}<//>`;
  return html`${url ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${name}</a>`
    : name}, branch <${Code}>${service.branch}<//>`;
}

function Health({ service }) {
  const { health, tasks } = service;
  if (health) return html`<span class="pill">
      <${Status} status="failed" word=${`${health.running} of ${health.desired} tasks run`} />
    </span>`;
  if (tasks) return html`<span class="pill"
      title=${tasks.seen_at ? `since ${exact(tasks.seen_at)}` : undefined}>
      <${Status} status=${taskStatus(tasks)} word=${tasks.desired
          ? `${Math.min(tasks.running, tasks.desired)} of ${tasks.desired} tasks run`
          : "0 tasks wanted"} /></span>`;
  return service.current_deployment_id
    ? html`<span class="pill"><${Status} status="unseen" word="Tasks not seen yet" /></span>`
    : null;
}

/** The service whose images another one deploys, by its name if the token may see it. */
function Source({ of: service }) {
  const source = useResource(`v1/services/${service.image_from}`, () => null).data;
  return html`<a href=${`#/services/${service.image_from}`}>
      <${Text}>${source?.name ?? `service ${service.image_from}`}<//></a>`;
}

function Next({ service, builds, active }) {
  const waiting = useResource(deploymentPath(service.waiting_deployment_id), () =>
    (isMoving(service, active) ? LIVE : IDLE));
  const open = (builds.items ?? []).filter(isOpen).reverse();
  const rows = [[active.data, "deployments", "Deployment"],
    [waiting.data, "deployments",
      waiting.data?.waiting_for_checks ? "Deployment" : "Next: deployment"],
    ...open.map((build) => [build, "builds", "Build"])].filter(([job]) => job);
  const known = builds.items && !isBusy(service);
  const error = builds.error ?? active.error ?? waiting.error;
  return html`<${Card} title="Under way" class="work">
      ${rows.length ? html`<ul>${rows.map(([job, kind, word]) => html`<li key=${job.job_id}>
    <div class="work-title">
      <span><a class="name" href=${`#/${kind}/${job.id}`}>${word} ${job.id}
        </a>${job.pull_request && html` of <${PullLink} number=${job.pull_request.number}
              gitUrl=${job.git_url} />`} <${Commit} sha=${job.commit_sha} plain
          message=${job.pull_request?.title ?? job.commit_message ?? job.reason} />
      </span><span class="muted nowrap"><${Time} at=${job.created_at} /></span></div>
    ${job.status === "queued"
      ? html`<p class="muted">
          <${Status} status="queued" /> ${job.waiting_for_checks
            ? html`<${ChecksLine} checks=${job.waiting_for_checks} />`
            : job.waiting_for ? html`<${Text}>${job.waiting_for}<//>` : ""}</p>`
      : html`<${Progress} job=${job} />`}
    ${job.awaiting === "approval" && html`<p><a class="button" href=${`#/deployments/${job.id}`}>
          ${answerWord()}</a></p>`}</li>`)}</ul>`
    : html`<p class="card-body muted">
        ${known ? html`Nothing is under way. <${NextChange} service=${service} />`
          : error ? "What is under way cannot be read now." : "Reading what is under way…"}</p>`}
    <//>`;
}

function NextChange({ service }) {
  const deploys = service.auto_deploy && !service.auto_deploy_paused;
  if (service.image_from) return html`The next image of <${Source} of=${service} />
    ${deploys ? " is deployed." : " is not deployed by itself."}`;
  return html`The next push to <${Code}>${service.branch}<//>
    ${deploys ? " is built and deployed." : " is built, and not deployed by itself."}`;
}

// The timeline: builds and deployments together, newest first.

function Timeline({ service, builds, active, onBack }) {
  const deployments = useList(`v1/cicd/services/${service.id}/deployments`,
    { limit: 20, isLive: (row) =>
      !active.data?.awaiting && (isBusy(service) || isOpen(row)) });
  const older = useAction(() => Promise.all([builds.load(), deployments.load()]));
  const error = builds.error ?? deployments.error;
  if (!builds.items || !deployments.items) return error
    ? html`<${Problem} error=${error} what="the timeline" />`
    : html`<${Loading} what="Loading the timeline" />`;
  const oldest = (list) => (list.more ? (list.items.at(-1)?.created_at ?? "") : "");
  const since = [oldest(builds), oldest(deployments)].sort().at(-1); // before it one list has gaps
  const events = [...builds.items.map((row) => ({ row, kind: "build" })),
    ...deployments.items.map((row) => ({ row, kind: "deployment" }))]
    .filter(({ row }) => row.created_at >= since)
    .sort((a, b) => (a.row.created_at === b.row.created_at
        ? (a.kind === b.kind ? b.row.id - a.row.id : a.kind === "deployment" ? -1 : 1)
        : a.row.created_at < b.row.created_at ? 1 : -1));
  if (!events.length) return html`<div class="card">
      <${Empty} title="Nothing has happened yet">Push to ${service.branch}, or start a build.<//>
    </div>`;
  const byBuild = new Map(builds.items.map((build) => [build.id, build]));
  let day = null;
  return html`<div class="card timeline"><ol>${events.flatMap(({ row, kind }) => {
    const its = DAY.format(new Date(row.created_at));
    const parts = its === day ? [] : [html`<li class="day" key=${its}>${its}</li>`];
    day = its;
    return [...parts, kind === "build"
      ? html`<${BuildEvent} key=${row.job_id} build=${row} service=${service} />`
      : html`<${DeploymentEvent} key=${row.job_id} row=${row} build=${byBuild.get(row.build_id)}
          service=${service} onBack=${onBack} />`];
  })}</ol>
  ${(builds.more || deployments.more)
    && html`<div class="pager"><span><${FailureText} error=${older.error} /></span>
        <${Button} busy=${older.busy} onClick=${() => older.start()}>Show older<//>
      </div>`}</div>`;
}

// The reader's days, as all times are the reader's. Only metrics count days in UTC.
const DAY = new Intl.DateTimeFormat("en-GB",
  { weekday: "long", day: "numeric", month: "long", year: "numeric" });

function BuildEvent({ build, service }) {
  return html`<li class="event"><${Status} status=${build.status} bare />
    <div class="two"><p class="event-title">
        <a class="name" href=${`#/builds/${build.id}`}>Build ${build.id}</a>
        <${Commit} sha=${build.commit_sha} message=${build.commit_message}
          gitUrl=${service.git_url} /></p>
      ${isOpen(build) && build.status !== "queued" && html`<${Progress} job=${build} />`}
      ${build.status === "failed"
        && html`<p class="event-error"><${Text}>${build.failure?.summary ?? build.error}<//></p>`}
      <p class="event-sub"><span><${Text}>${build.git_ref}<//></span>
        <span>${build.trigger === "push"
            ? html`pushed by <${Text}>${build.author ?? who(build.requested_by)}<//>`
            : build.pull_request
            ? html`<${PullLink} number=${build.pull_request.number} gitUrl=${build.git_url} />
              ${" "}of <${Text}>${build.author ?? who(build.requested_by)}<//>:
              ${" "}<${Text}>${build.pull_request.title}<//>`
            : html`started by <${Text}>${who(build.requested_by)}<//>`}</span>
        ${build.pull_request?.withheld.length > 0 && html`<span>
              built without ${list(build.pull_request.withheld)}</span>`}
        ${build.retry_of && html`<span>
              retry of <a href=${`#/builds/${build.retry_of}`}>build ${build.retry_of}</a></span>`}
        ${build.superseded_by && html`<span>
              superseded by <a href=${`#/builds/${build.superseded_by}`}>
                build ${build.superseded_by}</a></span>`}
        ${build.deployment_id && html`<span>
              → <a href=${`#/deployments/${build.deployment_id}`}>deployment ${build.deployment_id}
              </a></span>`}
        ${!build.deployment_id && build.not_deployed
          && html`<span>not deployed: <${Text}>${build.not_deployed}<//></span>`}</p></div>
    <div class="event-end muted"><${Time} at=${build.created_at} /></div></li>`;
}

function DeploymentEvent({ row, build, service, onBack }) {
  const message = row.commit_message ?? build?.commit_message;
  const current = service.current_deployment_id === row.id;
  const restorable = row.progress === 100 && !isOpen(row) && !current && can("deployer");
  return html`<li class="event"><${Status} status=${stateOf(row)} bare />
    <div class="two"><p class="event-title">
        <a class="name" href=${`#/deployments/${row.id}`}>
          ${row.trigger === "rollback" ? "Rollback" : "Deployment"} ${row.id}</a>
        ${current && html`<span class="pill">${service.drift
              ? html`<span class="status ended">last release</span>`
              : html`<span class="status success">runs now</span>`}</span>`}
        <${Commit} sha=${row.commit_sha} message=${message} gitUrl=${service.git_url} /></p>
      ${isOpen(row) && row.status !== "queued" && html`<${Progress} job=${row} />`}
      ${row.waiting_for_checks
        && html`<p class="muted"><${ChecksLine} checks=${row.waiting_for_checks} /></p>`}
      ${row.status === "failed"
        && html`<p class="event-error"><${Text}>${row.failure?.summary ?? row.error}<//></p>`}
      <p class="event-sub"><span><${Code}>${row.image_tag}<//></span>
        ${row.build_id && html`<span>
              from <a href=${`#/builds/${row.build_id}`}>build ${row.build_id}</a></span>`}
        ${row.restores && html`<span>
              restores <a href=${`#/deployments/${row.restores}`}>deployment ${row.restores}</a>
            </span>`}
        ${row.rollback_of && html`<span>
              leaves <a href=${`#/deployments/${row.rollback_of}`}>deployment ${row.rollback_of}</a>
            </span>`}
        <span>by <${Text}>${who(row.requested_by)}<//></span>
        ${row.approvals.map((each, at) => html`<span key=${at}>${answerText(each)}</span>`)}
          ${row.reason && row.trigger !== "push" && html`<span>“<${Text}>${row.reason}<//>”</span>`}
        </p></div>
    <div class="event-end">${restorable
        && html`<${Button} kind="quiet" onClick=${() => onBack(row.restores ?? row.id)}
            aria-label=${`Roll back to deployment ${row.restores ?? row.id}`}>Roll back to this…
          <//>`}<span class="muted"><${Time} at=${row.created_at} /></span></div></li>`;
}

const answerText = ({ action, by }) => html`${action === "reject" ? "rejected" : "approved"}
  ${" "}<${By} actor=${by} />`;

// Settings, configuration, access.

const yes = (value) => (value ? "yes" : "no");
const list = (values) =>
  (values?.length ? html`<span>
      ${values.map((value, at) => html`${at > 0 && ", "}<${Code} key=${value}>${value}<//>`)}
    </span>` : html`<span class="muted">none</span>`);
const code = (value) => (value ? html`<${Code}>${value}<//>`
  : html`<span class="muted">none</span>`);

function Settings({ service, channels }) {
  return html`<div class="halves"><div class="stack">
    <${Card} title="What is built">
      <${Facts} rows=${service.image_from ? [["Images from",
            html`<${Source} of=${service} />`]] : [
      ["Repository", html`<${Text}>${service.git_url}<//>`], ["Branch", code(service.branch)],
        ["Paths", service.paths?.length ? list(service.paths) : "all"],
        ["Tags", list(service.tags)],
      ["Dockerfile", code(service.dockerfile)], ["Context", code(service.context_path)],
        ["Stage", service.target ? code(service.target) : "the last one"],
        ["Platforms", list(service.platforms)],
      ["Build arguments", list(Object.keys(service.build_args ?? {}))],
        ["Secrets", list(Object.keys(service.secrets ?? {}))],
      ["Submodules, LFS", `${yes(service.submodules)}, ${yes(service.lfs)}`],
        ["Provenance, SBOM", `${yes(service.provenance)}, ${yes(service.sbom)}`],
    ]} /><//></div><div class="stack">
    <${Card} title="Where it runs"><${Facts} rows=${[
      ["Image repository", code(service.image_repository)],
        ["Also pushed to", list(Object.keys(service.also_push_to ?? {}))],
      ["ECS", service.ecs_service ? html`<${Code}>${service.ecs_cluster}/${service.ecs_service}<//>`
        : html`<span class="muted">no target</span>`],
      ["Containers", list(service.containers)],
        ["Release command", service.release_command
        ? html`<${Code}>${service.release_command.join(" ")}<//>`
        : html`<span class="muted">none</span>`],
    ]} /><//>
    ${service.ecs_service && html`<${RolloutSettings} service=${service} />`}
    <${Card} title="Automation and limits"><${Facts} rows=${[
      ["Pushes", service.image_from ? "are not built here"
        : service.auto_build ? "are built" : "are not built, only requests are"],
      !service.image_from && ["Pull requests",
        !service.build_pull_requests ? "are not built" : service.auto_build
          ? "are built, and never deployed" : "are not built while pushes are not"],
      ["Auto-deploy", service.auto_deploy ? (service.auto_deploy_paused ? "on, paused" : "on")
        : "off"],
      ["Checks that must pass", service.require_checks === "all" ? "all of the commit"
        : list(service.require_checks)],
      ["Later pushes", service.supersede_builds ? "supersede queued builds" : "all are built"],
      ["Open builds", `at most ${service.max_open_builds}`],
      ["Time limits",
        [["queue", service.queued_minutes], ["build", service.build_minutes],
          ["deployment", service.deploy_minutes],
          ...(service.require_checks ? [["checks", service.checks_minutes]] : [])]
          .map(([name, most]) => `${name} ${most} min`).join(", ")],
      ["Own webhook secret", yes(service.webhook_secret)],
        ["Created", html`<${Time} at=${service.created_at} />`],
        ["Changed", html`<${Time} at=${service.updated_at} />`],
    ]} /><//>
    ${mayChannels() && html`<${Card} title="Channels that are told"
          aside=${html`<a href="#/channels">All channels</a>`}>
        ${channels.length ? html`<${Facts} rows=${channels.map((each) =>
              [html`<${Text}>${each.name}<//>`,
                html`<${ChannelState} channel=${each} full />`])} />`
          : html`<p class="card-body muted">None.</p>`}<//>`}</div></div>`;
}

function Config({ service }) {
  const found = useResource(can("deployer") ? `v1/services/${service.id}/config` : null, () =>
    IDLE);
  const [shown, setShown] = useState(false);
  if (!can("deployer")) return html`<div class="card">
      <${Empty} title="Your token may not see the configuration">
        Values of variables need the role deployer.<//></div>`;
  return html`<${Await} of=${found} what="the configuration">${(config) => {
    const names = Object.keys(config.environment).sort();
    const secrets = Object.keys(config.secrets).sort();
    const empty = !names.length && !secrets.length && config.cpu == null && config.memory == null
      && config.desired_count == null;
    return html`<div class="stack">
      ${!config.released && html`<${Banner} title="Not all of this runs yet">
            ${config.deployment_id ? `Deployment ${config.deployment_id} brings it.`
              : "The next release brings it."}<//>`}
      ${empty && html`<div class="card">
            <${Empty} title="Slipway sets nothing here"
              command=${`curl -sS -X PATCH "${new URL(`v1/services/${service.id}/config`,
                  location.href)}" \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"environment": {"LOG_LEVEL": "debug"}}'`}>
    The task definition on ECS decides alone. Set a variable with:<//></div>`}
      ${!empty && html`<div class="halves">
            <${Card} title="Variables" aside=${names.length > 0
              && html`<${Button} onClick=${() => setShown(!shown)}>
                  ${shown ? "Hide values" : "Show values"}<//>`}>
        ${names.length ? html`<${Table} label="Variables" keyOf=${(name) => name} rows=${names}
              columns=${[{ name: "Name", show: (name) => html`<${Code}>${name}<//>` },
                { name: "Value", show: (name) =>
                  (shown ? html`<${Text} class="code">${config.environment[name]}<//>`
                    : html`<span class="muted" aria-label="hidden">••••••</span>`) }]} />`
          : html`<p class="card-body muted">None.</p>`}<//>
      <div class="stack"><${Card} title="Secrets">
          ${secrets.length ? html`<${Facts}
                rows=${secrets.map((name) =>
                  [html`<${Code}>${name}<//>`,
                    html`<span class="muted"><${Text}>${config.secrets[name]}<//></span>`])} />`
            : html`<p class="card-body muted">None.</p>`}<//>
        <${Card} title="Sizes"><${Facts}
            rows=${[["CPU", config.cpu ?? "as in the task definition"],
              ["Memory", config.memory ? `${config.memory} MiB` : "as in the task definition"],
              ["Tasks", config.desired_count ?? "as ECS has it"]]} /><//></div></div>`}
    </div>`;
  }}<//>`;
}

function Access({ service }) {
  const found = useList(can("admin") ? `v1/services/${service.id}/access` : null,
    { all: true, limit: 100, idlePause: 60000 });
  if (!can("admin")) return html`<div class="card">
      <${Empty} title="Your token may not see who reaches this service">
        Tokens are shown to the role admin.<//></div>`;
  const tokens = { data: found.items, error: found.error };
  return html`<${Await} of=${tokens} what="the tokens">${(rows) =>
    html`<${Card} title="Tokens that reach this service"
        aside=${`${count(rows.length, "token")}${found.complete ? "" : " so far"}`}>
        <${Table} label="Tokens" keyOf=${(token) => token.id ?? token.token_id} rows=${rows}
          columns=${[
      { name: "Name", show: (token) => html`<${Text} class="name">${token.name}<//>` },
      { name: "May", show: (token) => MAY[token.role] ?? token.role },
      { name: "Reach", show: (token) =>
        (token.service_id ? "this service" : token.project_id ? "its project" : "all projects") },
      { name: "Expires", show: (token) =>
        (token.expires_at ? html`<${Time} at=${token.expires_at} />`
          : html`<span class="muted">never</span>`) },
    ]} /><//>`}<//>`;
}

const MAY = { viewer: "read", deployer: "build, deploy, roll back",
  admin: "everything, also settings" };
