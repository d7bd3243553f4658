// One deployment: its stages and tasks, why it failed, what changed, and the proof that it runs.
import {
  between, can, compareUrl, duration, html, IDLE, useResource, useRef, useState,
} from "./core.js";
import {
  Await, Banner, Button, Card, ChecksLine, Code, Commit, Crumbs, Digest, Duration, Facts,
  FailureCard, Icon, isOpen, NotAllowed, paceOf, Progress, sentence, stateOf, Status, statusWord,
  strategyWord, Table, Text, Time, who,
} from "./ui.js";
import { CancelDialog, DeployDialog, Findings, RollbackDialog } from "./actions.js";
import { useAnnouncedStatus, useTitle } from "./build.js";
import { LogView, useChosenLine, useLog } from "./log.js";
import { AnswerDialog, Traffic } from "./traffic.js";

const TRIGGERS = { manual: "by hand", push: "by a push", rollback: "rollback",
  config: "change of the configuration" };

export function Deployment({ id }) {
  const found = useResource(`v1/cicd/deployments/${id}`, paceOf);
  return html`<${Await} of=${found} what=${`deployment ${id}`} page>
      ${(row) => html`<${Shown} row=${row} />`}<//>`;
}

function Shown({ row }) {
  const service = useResource(`v1/services/${row.service_id}`, () => IDLE).data;
  const project = useResource(`v1/projects/${row.project_id}`, () => null).data;
  const build = useResource(row.build_id ? `v1/cicd/builds/${row.build_id}` : null, () =>
    null).data;
  const replaced = useResource(row.replaced ? `v1/cicd/deployments/${row.replaced}` : null, () =>
    null).data;
  const ends = [replaced?.commit_sha, row.commit_sha];
  // GitHub shows what the second commit has more, so a rollback compares the other way round.
  const compare = compareUrl(service?.git_url, ...(row.rollback_of ? ends.reverse() : ends));
  const proven = row.progress === 100 && row.finished_at;
  const receipt = useResource(proven ? `v1/cicd/deployments/${row.id}/receipt` : null, () =>
    null).data;
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  const open = isOpen(row);
  useAnnouncedStatus(`Deployment ${row.id}`, stateOf(row));
  useTitle(`Deployment ${row.id}`, service?.name, statusWord(stateOf(row)));
  const current = service?.current_deployment_id === row.id;
  const runs = current && !service.drift;
  const commit = { sha: row.commit_sha, message: row.commit_message ?? build?.commit_message,
    author: row.author ?? build?.author };
  const running = { ...service, current: null };
  return html`<div class="stack">
    <div><${Crumbs} path=${[["Services", "#/"],
          [service ? `${project?.name ?? "…"} / ${service.name}` : `Service ${row.service_id}`,
            `#/services/${row.service_id}`], [`Deployment ${row.id}`]]} />
      <div class="head"><div class="head-text">
          <div class="head-title"><h1 tabindex="-1">Deployment ${row.id}</h1>
            <span class="pill"><${Status} status=${stateOf(row)} /></span>
            ${runs && html`<span class="pill">
                  <span class="status success"><${Icon} name="success" />Runs now</span></span>`}
          </div>
        <p><${Commit} ...${commit} gitUrl=${service?.git_url} /></p></div>
        <div class="actions">${can("deployer") && service && html`
          ${open && html`<${Button} kind="danger" onClick=${() => setDialog("cancel")}>Cancel…<//>`}
          ${current && !open && html`<${Button} kind="danger" onClick=${() => setDialog("back")}>
                Roll back…<//>`}
          ${!open && !current && row.progress === 100
            && html`<${Button} onClick=${() => setDialog("to")}>Roll back to this…<//>`}
          ${row.status === "failed"
            && html`<${Button} onClick=${() => setDialog("deploy")}>Deploy…<//>`}`}</div></div>
      <${NotAllowed} role="deployer" what="rolling back" /></div>
    ${row.status === "failed" && html`<${FailureCard} job=${row} kind="deployment" />`}
    ${row.status !== "failed" && row.error
      && html`<${Banner} tone="waiting" title=${sentence(statusWord(row.status))}>${row.error}<//>`}
    ${row.warnings?.length > 0
      && html`<${Banner} title="What the proof does not show">${row.warnings.join(" · ")}<//>`}
    <${Card} title="Stages" aside=${html`<${Duration} from=${row.created_at}
          to=${row.finished_at} />`}><${Stages} row=${row} receipt=${receipt} />
      ${open && html`<div class="card-body"><${Progress} job=${row} /></div>`}<//>
    <${Traffic} row=${row} service=${service} onAnswer=${setDialog} />
    ${row.waiting_for_checks && html`<${Checks} checks=${row.waiting_for_checks} />`}
    ${row.tasks?.length > 0 && html`<${Card} title="Tasks">
          <${Table} label="Tasks" keyOf=${(task) => task.id} rows=${row.tasks}
            columns=${tasksOf(row)} /><//>`}
    <div class="halves">
      <${Card} title="Release"><${Facts} rows=${[
        ["Image", html`<${Code}>${row.image_tag}<//>`],
        ["Digest", html`<${Digest} digest=${row.image_digest} />`],
        row.build_id && ["Build",
          html`<a href=${`#/builds/${row.build_id}`}>Build ${row.build_id}</a>`],
        row.replaced && ["Replaced",
          html`<a href=${`#/deployments/${row.replaced}`}>Deployment ${row.replaced}</a>`],
        compare && ["Commits", html`<a href=${compare} target="_blank" rel="noopener noreferrer">
          Compare with deployment ${row.replaced} <${Icon} name="out" /></a>`],
        row.restores && ["Restores",
          html`<a href=${`#/deployments/${row.restores}`}>Deployment ${row.restores}</a>`],
        row.rollback_of && ["Rollback of",
          html`<a href=${`#/deployments/${row.rollback_of}`}>Deployment ${row.rollback_of}</a>`],
        row.rollback_to && ["A rollback goes to",
          html`<a href=${`#/deployments/${row.rollback_to}`}>Deployment ${row.rollback_to}</a>
            ${current && service.rollback_trouble && html`<span class="muted">, but it cannot be
                restored: <${Text}>${service.rollback_trouble}<//></span>`}`],
        ["Started", html`<${Text}>${TRIGGERS[row.trigger] ?? row.trigger}, ${who(row.requested_by)}
            <//>`],
        row.reason && row.trigger !== "push" && ["Reason", html`<${Text}>${row.reason}<//>`],
        row.cancelled_by && ["Cancelled by", html`<${Text}>${who(row.cancelled_by)}<//>`],
        ["Requested", html`<${Time} at=${row.created_at} full />`],
      ]} /><//>
      <${Card} title="On ECS"><${Facts} rows=${[
        ["Service", row.ecs_service ? html`<${Code}>${row.ecs_cluster}/${row.ecs_service}<//>`
          : "none"],
        row.strategy && ["Strategy", strategyWord(row.strategy)],
        ["Containers", (row.containers ?? []).join(", ") || "–"],
        ["Task definition", row.task_definition
          ? html`<${Code} title=${row.task_definition}>${row.task_definition.split("/").pop()}<//>`
          : html`<span class="muted">not registered yet</span>`],
        receipt && ["Proof",
          html`${receipt.tasks.length} of ${receipt.desired_tasks} tasks reported the digest`],
        receipt && ["Verified", html`<${Time}
              at=${new Date(receipt.verified_at * 1000).toISOString()} />`],
        receipt && ["Receipt", html`<${Digest} digest=${receipt.hash} />`],
        receipt?.circuit_breaker
          && ["Circuit breaker", receipt.circuit_breaker.toLowerCase().replaceAll("_", " ")],
      ]} />
      ${row.findings?.length > 0
        && html`<div class="card-body"><h3>Findings before the rollout</h3>
            <${Findings} findings=${row.findings} /></div>`}<//>
    </div>
    ${row.release_command && html`<${Command} run=${row.release_command} />`}
    <${Log} row=${row} />
    ${dialog === "cancel" && html`<${CancelDialog} job=${row} kind="deployment" service=${service}
          onClose=${close} />`}
    ${dialog === "back" && html`<${RollbackDialog} service=${running} onClose=${close} />`}
    ${dialog === "to" && html`<${RollbackDialog} service=${running} deploymentId=${row.restores
          ?? row.id} onClose=${close} />`}
    ${dialog?.act === "answer" && html`<${AnswerDialog} ...${dialog} service=${service}
          onClose=${close} />`}
    ${dialog === "deploy" && html`<${DeployDialog} service=${running} onClose=${close} />`}
  </div>`;
}

const tasksOf = (row) => [
  { name: "Task", show: (task) => html`<${Code} title=${task.id}>${task.id.slice(0, 8)}<//>` },
  { name: "Release", show: (task) =>
    (isOwn(task, row) ? "this one"
      : html`<span class="muted">another, <${Text}>${task.revision}<//></span>`) },
  { name: "State", show: (task) =>
    html`<${Status} status=${taskState(task, row)}
        word=${sentence((task.status ?? "").toLowerCase())} />` },
  { name: "Health", show: (task) => html`<${Text}>${(task.health ?? "–").toLowerCase()}<//>` },
  { name: "Started", show: (task) => html`<${Time} at=${task.started_at} />` },
  ...(row.tasks.some((task) => task.stopped_reason)
    ? [{ name: "Why it stopped", show: (task) => task.stopped_reason
        && html`<${Text}>${task.stopped_reason}<//>` }] : []),
];
const isOwn = (task, row) => row.task_definition?.endsWith(`/${task.revision}`);
const ENDED = ["DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED", "DELETED"];

/** A rollout stops the tasks of the release before: only those of its own fail. */
function taskState(task, row) {
  if (ENDED.includes(task.status)) return isOwn(task, row) ? "failed" : "cancelled";
  return task.status === "RUNNING" ? "success" : "deploying";
}

/** Where a deployment is: a stage is done, under way, failed or still to come. */
function Stages({ row, receipt }) {
  const ended = Boolean(row.finished_at);
  const phase = row.failure?.phase;
  const command = row.release_command;
  const stages = [["Accepted", row.created_at, "success", html`<${Time} at=${row.created_at} />`]];
  const waits = row.status === "queued" && !ended;
  const checks = row.waiting_for_checks;
  if (checks) stages.push(["Checks", null, "queued",
      html`deadline <${Time} at=${checks.deadline_at} />`]);
  if (phase === "checks") stages.push(["Checks", null, "failed", "of the commit on GitHub"]);
  const begin = phase === "begin" ? "failed" : row.started_at || command ? "success"
    : ended || checks ? "none" : waits ? "queued" : "deploying";
  stages.push(["Begin", null, begin, waits && !checks ? sentence(row.waiting_for ?? "waits")
    : "preflight and task definition"]);
  if (command) {
    const state = phase === "release_command" ? "failed" : command.finished_at ? "success" : ended
      ? "none" : "deploying";
    stages.push(["Release command", null, state,
        html`<${Duration} from=${command.started_at} to=${command.finished_at
            ?? (ended ? row.finished_at : null)} />`]);
  }
  const rolled = receipt?.rolled_out_at;
  const proven = row.progress === 100;
  const rollState = phase === "roll_out" ? "failed" : proven || phase === "verify" ? "success"
    : !row.started_at ? "none" : ended ? "cancelled" : row.awaiting ?? "deploying";
  stages.push(["Rollout", null, rollState, row.started_at
      ? duration(between(row.started_at, rolled ? new Date(rolled * 1000).toISOString()
          : row.finished_at)) : ""]);
  stages.push(["Proof", null, phase === "verify" ? "failed" : proven ? "success" : "none", proven
      && receipt ? `${receipt.tasks.length} of ${receipt.desired_tasks} tasks`
      : "every task runs the digest"]);
  return html`<ol class="stages">
      ${stages.map(([name, , state, sub]) =>
          html`<li key=${name} class=${state === "none" ? "todo" : ""}>
    <p class="stage-name">${state === "none" ? html`<${Icon} name="none" />`
        : html`<${Status} status=${state} bare />`}${name}</p><p class="sub">${sub}</p></li>`)}
    </ol>`;
}

/** The checks of the commit, with what GitHub shows of them. */
function Checks({ checks }) {
  const names = (values) => values.map((name, at) =>
    html`${at > 0 && ", "}<${Code} key=${name}>${name}<//>`);
  return html`<${Card} title="Checks of the commit">
    ${checks.trouble && html`<div class="card-body">
          <${Banner} title="The checks cannot be read">${checks.trouble}<//></div>`}
    <${Facts} rows=${[
      ["Must pass", checks.required === "all" ? "all" : names(checks.required)],
      checks.running.length > 0 && ["Run now", names(checks.running)],
      checks.missing.length > 0 && ["Not on GitHub yet", names(checks.missing)],
      ["Waits since", html`<${Time} at=${checks.since} full />`],
      ["Deadline", html`<${Time} at=${checks.deadline_at} full />`],
      ["GitHub was asked", checks.asked_at ? html`<${Time} at=${checks.asked_at} />` : "not yet"],
    ]} /><//>`;
}

function Command({ run }) {
  return html`<${Card} title="Release command" aside=${run.exit_code != null
      ? html`exit code <span class="figure">${run.exit_code}</span>` : null}>
    <div class="card-body stack"><p><${Code}>${run.command.join(" ")}<//></p>
      ${run.log_tail.length > 0
        && html`<div class="tail">
            <pre tabindex="0" role="region" aria-label="Output of the release command">
              ${run.log_tail.join("\n")}</pre></div>`}</div><//>`;
}

function Log({ row }) {
  const log = useLog(`v1/cicd/deployments/${row.id}/logs`, row.awaiting ? IDLE : undefined);
  const [chosen, choose] = useChosenLine();
  const place = useRef(null);
  if (log.error?.status === 404) return null;
  return html`<${LogView} log=${log} name=${`deployment-${row.id}`} running=${isOpen(row)}
      place=${place} chosen=${chosen} onChoose=${choose} />`;
}
