// One build: why it failed first, then its steps and its log.
import {
  announce, can, count, html, IDLE, LIVE, useEffect, useRef, useResource, useState,
} from "./core.js";
import {
  Await, Banner, Button, Card, Code, Commit, Crumbs, Digest, Duration, Facts, FailureCard,
  FailureText, isOpen, NotAllowed, Progress, PullLink, Status, statusWord, sentence, Text, Time,
  who,
} from "./ui.js";
import { CancelDialog, DeployDialog, retryBuild, useAction } from "./actions.js";
import { LogView, useChosenLine, useLog } from "./log.js";

const pace = (job) => (isOpen(job) ? LIVE : IDLE);

export function Build({ id }) {
  const found = useResource(`v1/cicd/builds/${id}`, pace);
  return html`<${Await} of=${found} what=${`build ${id}`} page>
      ${(build) => html`<${Shown} build=${build} />`}<//>`;
}

/** Says the new status of a job when it changes. */
export function useAnnouncedStatus(name, status) {
  const before = useRef(status);
  useEffect(() => {
    if (before.current !== status) announce(`${name} ${statusWord(status)}.`);
    before.current = status;
  }, [status]);
}

function Shown({ build }) {
  const service = useResource(`v1/services/${build.service_id}`, () => 60000).data;
  const project = useResource(`v1/projects/${build.project_id}`, () => null).data;
  const log = useLog(`v1/cicd/builds/${build.id}/logs`);
  const [chosen, choose] = useChosenLine();
  const [dialog, setDialog] = useState(null);
  const place = useRef(null);
  const open = isOpen(build);
  useAnnouncedStatus(`Build ${build.id}`, build.status);
  useTitle(`Build ${build.id}`, service?.name, statusWord(build.status));
  const retry = useAction(() => retryBuild(build));
  const close = () => setDialog(null);
  const steps = stepsOf(build, log);
  return html`<div class="stack">
    <div><${Crumbs} path=${[["Services", "#/"],
          [service ? `${project?.name ?? "…"} / ${service.name}` : `Service ${build.service_id}`,
            `#/services/${build.service_id}`], [`Build ${build.id}`]]} />
      <div class="head"><div class="head-text">
          <div class="head-title"><h1 tabindex="-1">Build ${build.id}</h1>
            <span class="pill"><${Status} status=${build.status} /></span></div>
        <p><${Commit} sha=${build.commit_sha} message=${build.commit_message}
            gitUrl=${build.git_url} author=${build.author} /></p></div>
        <div class="actions">${can("deployer") && html`
          ${build.status === "success" && service?.ecs_service && !build.pull_request
            && html`<${Button} kind="primary" onClick=${() => setDialog("deploy")}>Deploy…<//>`}
          ${["failed", "cancelled", "superseded"].includes(build.status)
            && html`<${Button} kind="primary" busy=${retry.busy} onClick=${() => retry.start()}>
                Build again<//>`}
          ${open && !build.cancelled_by
            && html`<${Button} kind="danger" onClick=${() => setDialog("cancel")}>Cancel…
              <//>`}`}</div></div>
      <${NotAllowed} role="deployer" what="building and deploying" />
        <${FailureText} error=${retry.error} /></div>
    ${build.status === "failed" && html`<${FailureCard} job=${build} kind="build" />`}
    ${build.status !== "failed" && build.error && !build.waiting_for
      && html`<${Banner} tone="waiting" title=${open ? "It waits" : "Note"}>${build.error}<//>`}
    ${open && build.cancelled_by
      && html`<${Banner} tone="running" icon="running" title="It is being cancelled">
        CodeBuild stops it. ECS is not touched.<//>`}
    ${build.attention && html`<${Banner} tone="failed" title="Needs an operator">${build.attention}
        <//>`}
    ${open && html`<div class="card card-body">
          ${build.waiting_for ? html`<p>
                <strong>${build.position ? `Place ${build.position} in the queue.` : "It waits."}
                </strong> Waits for <${Text}>${build.waiting_for}<//>.</p>`
            : html`<${Progress} job=${build} />`}</div>`}
    ${build.warnings?.length > 0
      && html`<${Banner} title=${count(build.warnings.length, "warning")}>
          ${build.warnings.join(" · ")}<//>`}
    <div class="build"><div class="stack">
      <${Card} title="Steps" aside=${html`<${Duration} from=${build.started_at}
            to=${build.finished_at} />`}>
        <${Steps} steps=${steps} onLook=${(index) => place.current?.(index, true)} /><//>
      <${Card} title="Result" class="result"><${Facts} rows=${[
        ["Image", build.status === "success" ? html`<${Code}>${build.image_tag}<//>`
          : html`<span class="muted">none</span>`],
        build.image_digest && ["Digest", html`<${Digest} digest=${build.image_digest} />`],
        ["Deployed", build.deployment_id
          ? html`<a href=${`#/deployments/${build.deployment_id}`}>Deployment ${build.deployment_id}
            </a>` : html`<span class="muted">
              <${Text}>${build.not_deployed ?? (open ? "not yet" : build.status === "success"
                ? "not by itself" : "no")}<//></span>`],
        ...(build.dependents ?? []).map((each) =>
          [`Service ${each.service_id}`, each.deployment_id
            ? html`<a href=${`#/deployments/${each.deployment_id}`}>Deployment ${each.deployment_id}
              </a>` : html`<span class="muted"><${Text}>${each.not_deployed}<//></span>`]),
        ["Requested", html`<${Time} at=${build.created_at} full />`],
        ["By", html`<${Text}>${who(build.requested_by)}<//>`],
        build.cancelled_by && ["Cancelled by", html`<${Text}>${who(build.cancelled_by)}<//>`],
        [sentence(build.ref_type ?? "ref"), html`<${Text} class="code">${build.git_ref}<//>`],
        build.pull_request && ["Built for",
          html`<${PullLink} number=${build.pull_request.number} gitUrl=${build.git_url} />:
            ${" "}<${Text}>${build.pull_request.title}<//>`],
        build.pull_request?.withheld.length > 0 && ["Built without",
          html`<${Code}>${build.pull_request.withheld.join(", ")}<//>`],
        ["Machine", html`<${Code}>${build.machine}<//>`],
        build.retry_of && ["Retry of",
          html`<a href=${`#/builds/${build.retry_of}`}>Build ${build.retry_of}</a>`],
        build.superseded_by && ["Superseded by",
          html`<a href=${`#/builds/${build.superseded_by}`}>Build ${build.superseded_by}</a>`],
      ]} /><//></div>
      <${LogView} log=${log} name=${`build-${build.id}`} running=${open}
        atEnd=${build.status === "failed"} place=${place} chosen=${chosen} onChoose=${choose} />
      </div>
    ${dialog === "deploy" && html`<${DeployDialog} service=${service} image=${build.image_tag}
          onClose=${close} />`}
    ${dialog === "cancel" && html`<${CancelDialog} job=${build} kind="build" service=${service}
          onClose=${close} />`}
  </div>`;
}

export function useTitle(...parts) {
  const title = [...parts.filter(Boolean), "Slipway"].join(" · ");
  useEffect(() => {
    document.title = title;
    return () => { document.title = "Slipway"; };
  }, [title]);
}

/** The wait, and the steps of the log; a step that runs when the build ends has its fate. */
function stepsOf(build, log) {
  const ended = build.finished_at;
  const end = (step) => (step.state === "running" && ended
    ? { ...step, state: build.status === "success" ? "success" : build.status === "failed"
      ? "failed" : "cancelled", to: step.to ?? ended } : step);
  const waited = { title: "Wait for a machine", from: build.created_at, to: build.started_at
    ?? ended, state: build.started_at ? "success" : ended ? build.status : "queued" };
  const found = (log.lines?.steps ?? []).map((step) =>
    ({ ...end(step), inner: [...step.inner.values()].map(end) }));
  return [waited, ...found];
}

function Steps({ steps, onLook }) {
  return html`<ol class="steps">
      ${steps.map((step) => html`<li key=${step.title + step.from} class=${step.state === "failed"
              ? "failed-step" : ""}><${StepButton} step=${step} onLook=${onLook} />
    ${step.inner?.length > 0
      && html`<ol class="nested">
          ${step.inner.map((inner) =>
              html`<li key=${inner.index} class=${inner.state === "failed" ? "failed-step" : ""}>
                  <${StepButton} step=${inner} onLook=${onLook} /></li>`)}</ol>`}</li>`)}</ol>`;
}

function StepButton({ step, onLook }) {
  const took = step.cached ? html`<span class="muted">cached</span>` : step.seconds != null
    ? html`<span class="figure muted">${step.seconds.toFixed(1)} s</span>`
    : html`<span class="muted"><${Duration} from=${step.from} to=${step.to} /></span>`;
  return html`<button type="button" onClick=${() => step.index !== undefined && onLook(step.index)}
      disabled=${step.index === undefined} title=${step.title}>
    <${Status} status=${step.state} bare />
      <span class="clip"><${Text}>
        ${step.place ? `${step.place.split(" ").pop()} ${step.title}` : step.title}<//></span>
      ${took}</button>`;
}
