// A rollout that shifts traffic: its stages, the traffic of both releases, and a person's answers.
import { ask, can, get, html, notify, percent, session, useState } from "./core.js";
import {
  Banner, Button, By, Card, Code, Commit, Dialog, Facts, FailureText, Icon, isOpen, Status,
  strategyWord, Text, Time, who,
} from "./ui.js";
import { useAction } from "./actions.js";

const hasSteps = (row) => row.strategy === "LINEAR" || row.strategy === "CANARY";

// The stages of ECS, as a reader needs them. The approval is a stage only where one is needed.
const STAGES = [
  ["New tasks", ["RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP"]],
  ["Test traffic", ["TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"]],
  ["Approval", ["PRE_PRODUCTION_TRAFFIC_SHIFT"]],
  ["Production traffic", ["PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT"]],
  ["Bake time", ["BAKE_TIME"]],
  ["Clean-up", ["CLEAN_UP"]],
];

function stagesOf(row, isApproved) {
  const stages = STAGES.filter(([name]) => isApproved || name !== "Approval");
  const now = stages.findIndex(([, own]) => own.includes(row.stage));
  const to = `to this release${isOpen(row) ? "" : " at its end"}`;
  const notes = {
    "Test traffic": row.test_traffic ? `${percent(row.test_traffic)} ${to}` : "",
    Approval: row.approval ? html`deadline <${Time}
        at=${row.approval.expires_at} />` : "",
    "Production traffic": row.traffic != null ? `${percent(row.traffic)} ${to}` : "",
    "Bake time": "both releases run",
  };
  const here = isOpen(row) ? row.awaiting ?? "deploying" : row.status;
  return stages.map(([name], at) => ({ name, note: notes[name] ?? "",
    state: row.progress === 100 || at < now ? "success" : at === now ? here : "none" }));
}

/** The card of a deployment that shifts traffic, or did so until its end. */
export function Traffic({ row, service, onAnswer }) {
  const hasStages = isOpen(row) || row.progress === 100 || row.stage;
  if (!row.strategy || !(hasStages || row.approvals.length)) return null;
  const isApproved = row.approval || row.approvals.length > 0
    || row.failure?.phase === "approval"
    || (isOpen(row) && service?.approval && row.trigger !== "rollback");
  return html`<${Card} title="Traffic" aside=${strategyWord(row.strategy)}>
    ${hasStages && html`<ol class="stages">
      ${stagesOf(row, isApproved).map(({ name, state, note }) =>
        html`<li key=${name} class=${state === "none" ? "todo" : ""}>
        <p class="stage-name">${state === "none" ? html`<${Icon} name="none" label="To come" />`
          : html`<${Status} status=${state} bare />`}${name}</p><p class="sub">${note}</p></li>`)}
      </ol>`}
    ${isOpen(row) && row.traffic != null && html`<div class="card-body">
      <${Weights} row=${row} before=${row.replaced ?? service?.current_deployment_id} /></div>`}
    ${row.awaiting && html`<div class="card-body">
      <${Awaits} row=${row} service=${service} onAnswer=${onAnswer} /></div>`}
    ${row.approvals.length > 0
      && html`<div class="card-body"><${Answers} row=${row} /></div>`}<//>`;
}

function Weights({ row, before }) {
  const own = percent(row.traffic), rest = percent(100 - row.traffic);
  const other = before ? `Deployment ${before}` : "What ran before";
  return html`<div class="traffic">
    <div class="weights" role="img" aria-label=${`Production traffic: ${own} to deployment ${
        row.id}, ${rest} to ${other.toLowerCase()}`}>
      <span class="green" style=${{ width: `${row.traffic}%` }}></span><span class="blue"></span>
    </div>
    <p class="legend" aria-hidden="true">
      <span><span class="swatch green"></span>Deployment ${row.id} (green) ${own}</span>
      <span><span class="swatch blue"></span>${other} (blue) ${rest}</span></p></div>`;
}

/** What the rollout has stopped for, and what a person can do. */
function Awaits({ row, service, onAnswer }) {
  if (row.awaiting === "hook") return html`<${Banner} icon="pause"
      title="Awaits a hook of the ECS service">The owner of the ECS service has added it, and must
      answer it on ECS. Slipway cannot.<//>`;
  const { name } = session.get().whoami;
  const isOwn = row.requested_by === `token:${name}` && service?.approve_own === false;
  const answer = (verb, steps) => () => onAnswer({ act: "answer", verb, steps, row });
  return html`<${Banner} icon="pause" title=${hasSteps(row)
      ? `Awaits approval of step ${row.approval.number}` : "Awaits approval"}
    action=${can("deployer") && service && html`<div class="actions">
      ${!isOwn && html`<${Button} kind="primary" onClick=${answer("approve", "next")}>Approve…<//>
        ${hasSteps(row) && html`<${Button} onClick=${answer("approve", "all")}>Approve all steps…
          <//>`}`}
      <${Button} kind="danger" onClick=${answer("reject")}>Reject…<//></div>`}>
    ${row.approval.expires_at && html`Without an answer ECS takes it back
      ${" "}<${Time} at=${row.approval.expires_at} full />.`}
    ${isOwn && " Your token asked for this deployment: another token must approve it."}<//>`;
}

function Answers({ row }) {
  return html`<h3>Answers</h3><ul class="plain">${row.approvals.map((each, at) => {
    const rejected = each.action === "reject";
    return html`<li key=${at}><${Status} status=${rejected ? "failed" : "success"}
        word=${rejected ? "Rejected" : each.steps === "all" ? "Approved all steps" : "Approved"} />
      ${hasSteps(row) && ` at step ${each.number}`} <${By} actor=${each.by} />
      ${" "}<span class="muted"><${Time} at=${each.at} /></span>
      ${each.reason && html` “<${Text}>${each.reason}<//>”`}</li>`;
  })}</ul>`;
}

/** The confirmation of an answer. It names the release and its traffic, and holds only for the step
 *  that it shows. */
export function AnswerDialog({ verb, steps, row: asked, service, onClose }) {
  const [row, setRow] = useState(asked);
  const [reason, setReason] = useState("");
  const path = `v1/cicd/deployments/${row.id}`;
  const action = useAction(async () => {
    const body = { hook_id: row.approval.hook_id, ...(steps && { steps }),
      ...(reason && { reason }) };
    let answered;
    try {
      answered = await ask(`${path}/${verb}`, body);
    } catch (error) {
      const now = error.code === "other_hook" ? await get(path) : null;
      if (now?.awaiting !== "approval") throw error;
      setRow(now);
      return;
    }
    const word = answered.word.replace("accepted", verb === "approve" ? "approved" : "rejected");
    notify(`Deployment ${row.id} ${word}.`);
    onClose();
  });
  const what = `deployment ${row.id}`;
  const act = verb === "reject" ? `Reject ${what}`
    : steps === "all" ? `Approve all steps of ${what}` : `Approve ${what}`;
  return html`<${Dialog} title=${`${act} of ${service.name}?`} onClose=${onClose}
      onSubmit=${action.start} busy=${action.busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${action.busy}>Leave it<//>
        <button type="submit" class=${`button ${verb === "reject" ? "danger sure" : "primary"}`}
          disabled=${action.busy}>${action.busy && html`<${Icon} name="running" />`}${act}
        </button>`}>
    ${row !== asked && html`<div role="alert"><${Banner} title="Another step awaits approval now">
      This is what it looks like. Read it, and confirm again.<//></div>`}
    <${Facts} rows=${[
      ["Release", html`<${Commit} sha=${row.commit_sha} message=${row.commit_message} plain />`],
      ["Image", html`<${Code}>${row.image_tag}<//>`],
      ["Asked by", html`<${Text}>${who(row.requested_by)}<//>`],
      row.reason && row.trigger !== "push" && ["Reason", html`<${Text}>${row.reason}<//>`],
      ["Strategy", strategyWord(row.strategy)],
      hasSteps(row) && ["Step", row.approval.number],
      row.traffic != null && ["Traffic now", `${percent(row.traffic)} of production traffic`],
      row.test_traffic && ["Test traffic", percent(row.test_traffic)],
    ]} />
    <p>${effectOf(row, verb, steps)}</p>
    <label class="field"><span>Reason <span class="hint">for the audit trail, optional</span></span>
      <input type="text" maxlength="500" value=${reason} disabled=${action.isUnsure}
        onInput=${(event) => setReason(event.target.value)} /></label>
    <${FailureText} error=${action.error} />
  <//>`;
}

function effectOf(row, verb, steps) {
  if (verb === "reject") return "The deployment ends, and ECS returns to the release before.";
  if (steps === "all") return "ECS moves production traffic to it, step by step, and asks nobody "
    + "again.";
  return hasSteps(row) ? "ECS moves the next part of production traffic to it."
    : "ECS moves production traffic to it.";
}
