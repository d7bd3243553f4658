// What a person may start: builds, deployments, rollbacks, and how to stop them.
import {
  ask, change, count, get, go, html, isUnanswered, minutes, notify, percent, session, useEffect,
  useLayoutEffect, useRef, useResource, useState,
} from "./core.js";
import {
  Banner, Button, Code, Commit, Dialog, FailureText, Icon, Loading, NameChanges, strategyWord, Text,
  Time,
} from "./ui.js";

/** `run` with its state: whether it is busy, and its failure. */
export function useAction(run) {
  const [state, setState] = useState({ busy: false, error: null });
  const isShown = useRef(true);
  // A layout effect is set at once. Another one is lost if the reader goes on before a paint.
  useLayoutEffect(() => () => { isShown.current = false; }, []);
  async function start(...given) {
    const { token } = session.get();
    setState({ busy: true, error: null });
    try {
      await run(...given);
      setState({ busy: false, error: null });
    } catch (error) {
      if (isShown.current) setState({ busy: false, error, token });
      else notify(error.message, "failed"); // the reader went on to another view
    }
  }
  // What was said to another token may not hold for this one: it has its own requests.
  const error = state.error?.isUnsure && state.token !== session.get().token ? null : state.error;
  return { ...state, error, start, isUnsure: Boolean(error?.isUnsure) };
}

// What a person confirms: what runs, what will run, and what ends.
const factsOf = ({ possible, target, plan }) => JSON.stringify([
  possible, target?.id, plan?.image_now, plan?.image_then, plan?.ends, plan?.starts_after,
]);

/** Ask for what a person confirmed. If the plan is another one now, it is shown instead. */
async function confirmed(path, body, { look, isSame, expected, show }) {
  if (!isUnanswered(path, body)) {
    const now = await look();
    if (!isSame(now)) return show(now);
  }
  try {
    return await ask(path, body, { expected });
  } catch (error) {
    if (error.code !== "plan_is_old") throw error;
    return show(await look());
  }
}

function PlanChanged() {
  return html`<div role="alert"><${Banner} title="Something else happened meanwhile">
      This is the new plan. Read it, and confirm again.<//></div>`;
}

/** Roll back: first the plan, then a confirmation that names service, release and image. */
export function RollbackDialog({ service, deploymentId, onClose }) {
  const path = `v1/cicd/services/${service.id}/rollback`;
  const [preview, setPreview] = useState({});
  const [reason, setReason] = useState("");
  const look = () => get(deploymentId ? `${path}?deployment_id=${deploymentId}` : path);
  useEffect(() => {
    look().then((data) => setPreview({ data }), (error) => setPreview({ error }));
  }, [path, deploymentId]);
  const action = useAction(async () => {
    const body = { deployment_id: preview.data.target.id, ...(reason && { reason }) };
    const isSame = (data) => factsOf(data) === factsOf(preview.data);
    const accepted = await confirmed(path, body, {
      look, isSame, expected: preview.data.plan.expected,
      show: (data) => setPreview({ data, changed: true }),
    });
    if (!accepted) return;
    notify(`Rollback of ${service.name} ${accepted.word}: deployment ${accepted.deployment_id}.`);
    onClose();
    go(`#/deployments/${accepted.deployment_id}`);
  });
  const { data, error } = preview;
  const target = data?.target;
  const footer = html`<${Button} onClick=${onClose} disabled=${action.busy}>Keep what runs<//>
    ${data?.possible && html`<button type="submit" class="button danger sure"
          disabled=${action.busy}>
      ${action.busy && html`<${Icon}
            name="running" />`}Roll back ${service.name} to deployment ${target.id}</button>`}`;
  return html`<${Dialog} title=${`Roll back ${service.name}`} onClose=${onClose}
      onSubmit=${data?.possible ? action.start : undefined} footer=${footer} wide
      busy=${action.busy}>
    ${preview.changed && html`<${PlanChanged} />`}
    ${error && html`<${FailureText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="Looking at what would change" />`}
    ${data && !data.possible
      && html`<div class="error-text"><${Icon} name="warning" />
          <div><p><strong>A rollback is not possible now.</strong></p><p><${Text}>${data.reason}<//>
            </p></div></div>`}
    ${data?.plan && html`<${PlanView} plan=${data.plan} target=${target} now=${service.current} />`}
    ${data && !data.plan && html`<${Findings} findings=${data.findings} />`}
    ${data?.possible && html`<label class="field">
          <span>Reason <span class="hint">for the audit trail, optional</span></span>
      <input type="text" maxlength="500" value=${reason} disabled=${action.isUnsure}
        onInput=${(event) => setReason(event.target.value)} /></label>`}
    <${FailureText} error=${action.error} />
  <//>`;
}

const AUTO = {
  paused: "Auto-deploy is paused, so that the next push does not undo this.",
  resumed: "Auto-deploy is resumed.",
};

export function PlanView({ plan, target, now }) {
  const { image_now: before, image_then: after, changes, config, commits } = plan;
  const settings = changes?.settings ?? [];
  const same = changes && !changes.containers.length && !settings.length;
  return html`<div class="arrow">
      <${Side} label="Now" image=${before} release=${now} />
      <${Icon} name="down" />
      <${Side} label="Then" image=${after} release=${target} />
    </div>
    ${commits?.compare_url?.startsWith("https://")
      && html`<p><a href=${commits.compare_url} target="_blank" rel="noopener noreferrer">
            Compare the commits <${Icon} name="out" /></a></p>`}
    <div><h3>What changes</h3>
      ${!changes && html`<p class="muted">ECS does not show what runs now.</p>`}
      ${same && html`<p class="muted">Nothing in the task definition.</p>`}
      ${changes?.containers.map((container) =>
          html`<div key=${container.name}>
              <p>Container <${Code}>${container.name}<//>
                ${container.image_now !== container.image_then ? ": another image" : ""}
                ${container.settings.length > 0
                  && html`, settings ${container.settings.join(", ")}`}</p>
        <${NameChanges} names=${container.environment} />
          <${NameChanges} names=${container.secrets} /></div>`)}
      ${settings.length > 0 && html`<p>Settings of the task: ${settings.join(", ")}</p>`}
      ${changesConfig(config)
        && html`<p class="muted">The service's configuration changes with it.</p>`}
      ${plan.release_command && html`<p>
            Before the rollout it runs <${Code}>${plan.release_command.join(" ")}<//></p>`}
      ${plan.strategy && plan.strategy !== "ROLLING" && html`<p>
            ECS moves to it with the strategy ${strategyWord(plan.strategy)}${plan.waits_minutes
              ? `, and waits at least ${minutes(plan.waits_minutes)}` : ""}.
            ${plan.image_then.deployment_id ? " A rollback needs no approval." : ""}</p>`}
      ${plan.approval && html`<p>A person must approve it before it gets
            ${" "}${plan.approval.traffic.map(percent).join(", ")} of production traffic. ECS waits
            ${" "}${minutes(plan.approval.minutes)} for ${plan.approval.traffic.length > 1 ? "each"
              : "the"} approval, and then takes the rollout back.</p>`}
      ${plan.desired_count != null
        && html`<p>It asks ECS for ${count(plan.desired_count, "task")}.</p>`}
      ${plan.ends.map((end) =>
          html`<p key=${end.deployment_id}>
              Deployment ${end.deployment_id} ends ${end.status.replace("_", " ")}.</p>`)}
      ${plan.starts_after && html`<p>It starts after deployment ${plan.starts_after} has ended.
          </p>`}
      ${AUTO[plan.auto_deploy] && html`<p>${AUTO[plan.auto_deploy]}</p>`}</div>
    <${Findings} findings=${plan.findings} />`;
}

function changesConfig(config) {
  if (!config) return false;
  const names = [config.environment, config.secrets].flatMap((each) => Object.values(each)).flat();
  return names.length + config.sizes.length > 0;
}

function Side({ label, image, release: known }) {
  const release = known && image?.deployment_id === known.id ? known : null;
  return html`<div class="side"><p class="label">${label}</p>
    ${image ? html`<p><strong>${image.deployment_id ? `Deployment ${image.deployment_id}`
              : image.build_id ? `Build ${image.build_id}` : "No release of Slipway"}</strong></p>
      <p><${Code}>${image.image_tag ?? image.image}<//></p>
      <${Commit} sha=${image.commit_sha} message=${release?.commit_message} plain />`
        : html`<p class="muted">unknown</p>`}
    ${release?.finished_at && html`<p class="muted">rolled out <${Time} at=${release.finished_at} />
        </p>`}</div>`;
}

export function Findings({ findings }) {
  if (!findings?.length) return null;
  return html`<ul class="findings">
      ${findings.map((finding, at) =>
          html`<li key=${at} class=${finding.severity}>
              <${Icon} name=${finding.severity === "error" ? "failed" : "warning"}
                label=${finding.severity} />
    <div><p><${Text}>${finding.message}<//></p></div></li>`)}</ul>`;
}

/** Deploy the image of a build, or an image by name. The plan is shown before. */
export function DeployDialog({ service, image, onClose }) {
  const [chosen, setChosen] = useState(image ?? null);
  const [other, setOther] = useState("");
  const [reason, setReason] = useState("");
  const source = service.image_from ?? service.id;
  const builds = useResource(`v1/cicd/services/${source}/builds?status=success&limit=50`, () =>
    null);
  const path = `v1/cicd/services/${service.id}/deploy`;
  const wanted = chosen === "other" ? other.trim() : chosen;
  const [plans, setPlans] = useState({});
  const planned = plans[wanted] ?? {};
  const keep = (plan) => setPlans((before) => ({ ...before, [wanted]: plan }));
  const look = () => change("POST", `${path}?dry_run=true`, { image_tag: wanted });
  const first = useAction(async () => {
    try {
      keep({ data: await look() });
    } catch (error) {
      keep({ error });
    }
  });
  useEffect(() => { if (wanted && chosen !== "other") first.start(); }, [wanted, chosen]);
  const action = useAction(async () => {
    const body = { image_tag: wanted, ...(reason && { reason }) };
    const isSame = (data) => factsOf({ plan: data }) === factsOf({ plan: planned.data });
    const accepted = await confirmed(path, body, {
      look, isSame, expected: planned.data.expected,
      show: (data) => keep({ data, changed: true }),
    });
    if (!accepted) return;
    notify(`Deployment ${accepted.deployment_id} of ${service.name} ${accepted.word}.`);
    onClose();
    go(`#/deployments/${accepted.deployment_id}`);
  });
  const ready = planned.data?.possible;
  const submit = () => (ready ? action.start() : wanted && first.start());
  const asks = !ready && (chosen === "other" || planned.error);
  // Two buttons: whoever wants to see the plan must not deploy because the plan has just come.
  const footer = html`<${Button} onClick=${onClose} disabled=${action.busy}>Close<//>
    ${asks && html`<button type="submit" class="button" disabled=${!wanted || first.busy}>
          ${first.busy && html`<${Icon} name="running" />`} Show the plan</button>`}
    <button type="submit" class="button primary" disabled=${!ready || action.busy}>
      ${action.busy && html`<${Icon} name="running" />`} Deploy to ${service.name}</button>`;
  const items = (builds.data?.items ?? []).filter((build) => !build.pull_request);
  return html`<${Dialog} title=${`Deploy ${service.name}`} onClose=${onClose} onSubmit=${submit}
      footer=${footer} wide busy=${action.busy}>
    <div class="field"><span id="picks-title">What to deploy</span>
      ${!builds.data && !builds.error && html`<${Loading} what="Loading builds" />`}
      <div class="picks" role="radiogroup" aria-labelledby="picks-title">
        ${items.map((build) => html`<label key=${build.id}>
                <input type="radio" name="image" value=${build.image_tag}
                  checked=${chosen === build.image_tag} onChange=${() =>
                  setChosen(build.image_tag)} />
          <span class="two"><${Commit} sha=${build.commit_sha} message=${build.commit_message}
              plain /><span class="sub">Build ${build.id} · <${Code}>${build.image_tag}<//>
              ${service.current?.build_id === build.id && !service.drift
                && html` <strong>runs now</strong>`}</span>
          </span>
          <span class="muted nowrap"><${Time} at=${build.finished_at} /></span></label>`)}
        <label><input type="radio" name="image" value="other" checked=${chosen === "other"}
            onChange=${() => setChosen("other")} /><span>Another tag or a digest</span></label>
      </div></div>
    ${chosen === "other" && html`<label class="field">
          <span>Image <span class="hint">a tag of a build, or ${service.image_repository}@sha256:…
            </span></span><input type="text" value=${other} onInput=${(event) =>
            setOther(event.target.value)} spellcheck=${false} /></label>`}
    ${planned.error && html`<${FailureText} error=${planned.error} />`}
    ${planned.changed && html`<${PlanChanged} />`}
    ${planned.data && html`<${PlanView} plan=${planned.data} now=${service.current} />`}
    ${ready && html`<label class="field">
          <span>Reason <span class="hint">for the audit trail, optional</span></span>
          <input type="text" maxlength="500" value=${reason} disabled=${action.isUnsure}
            onInput=${(event) => setReason(event.target.value)} /></label>`}
    <${FailureText} error=${action.error} />
  <//>`;
}

export function BuildDialog({ service, onClose }) {
  const [ref, setRef] = useState(service.branch);
  const action = useAction(async () => {
    const accepted = await ask(`v1/cicd/services/${service.id}/build`, ref.trim()
      ? { git_ref: ref.trim() } : {});
    notify(`Build ${accepted.build_id} of ${service.name} ${accepted.word}.`);
    onClose();
    go(`#/builds/${accepted.build_id}`);
  });
  return html`<${Dialog} title=${`Build ${service.name}`} onClose=${onClose}
      onSubmit=${action.start} busy=${action.busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${action.busy}>Close<//>
          <button type="submit" class="button primary" disabled=${action.busy}>Build</button>`}>
    <label class="field"><span>Branch, tag or commit</span>
      <input type="text" value=${ref} onInput=${(event) => setRef(event.target.value)}
        disabled=${action.isUnsure} spellcheck=${false} /></label>
    <p class="muted">
      The image is not deployed by itself: choose it with “Deploy” when the build has ended.</p>
    <${FailureText} error=${action.error} />
  <//>`;
}

/** A question before a change that cannot be taken back by the same click. */
export function ConfirmDialog({ title, children, confirm, danger, run, onClose }) {
  const action = useAction(async () => {
    await run();
    onClose();
  });
  return html`<${Dialog} title=${title} onClose=${onClose} onSubmit=${action.start}
      busy=${action.busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${action.busy}>Leave it<//>
          <button type="submit" class=${`button ${danger ? "danger sure" : "primary"}`}
            disabled=${action.busy}>${action.busy && html`<${Icon} name="running" />`}${confirm}
          </button>`}>
    <div>${children}</div><${FailureText} error=${action.error} />
  <//>`;
}

export function CancelDialog({ job, kind, service, onClose }) {
  const effect = kind === "build" ? "Its image is not pushed."
    : job.status === "queued" ? "Its rollout has not begun." : "ECS returns to what ran before.";
  const name = `${kind === "build" ? "build" : "deployment"} ${job.id}`;
  return html`<${ConfirmDialog} title=${`Cancel ${name}${service ? ` of ${service.name}` : ""}?`}
      confirm=${`Cancel ${name}`} danger onClose=${onClose}
    run=${async () => { await change("POST", `v1/cicd/jobs/${job.job_id}/cancel`);
        notify(`${name} is being cancelled.`); }}><p>${effect}</p><//>`;
}

export function ResumeDialog({ service, onClose }) {
  const act = service.auto_deploy ? "Resume auto-deploy" : "Switch on auto-deploy";
  return html`<${ConfirmDialog} title=${`${act} of ${service.name}?`} confirm=${act}
      onClose=${onClose}
    run=${async () => { await change("PATCH", `v1/services/${service.id}`, { auto_deploy: true });
        notify(`Auto-deploy of ${service.name} is on.`); }}>
    ${service.auto_deploy_paused
      && html`<p>It is paused: <${Text}>${service.auto_deploy_paused}<//></p>`}
      <p>${service.image_from ? "The next image is deployed."
          : service.auto_build
            ? html`The next push to <${Code}>${service.branch}<//> is deployed.`
            : "Pushes are not built: auto_build is off."}</p><//>`;
}

export function StopAutoDeployDialog({ service, onClose }) {
  return html`<${ConfirmDialog} title=${`Switch off auto-deploy of ${service.name}?`}
      confirm="Switch it off" onClose=${onClose}
    run=${async () => { await change("PATCH", `v1/services/${service.id}`, { auto_deploy: false });
        notify(`Auto-deploy of ${service.name} is off.`); }}>
    <p>${service.image_from || !service.auto_build ? "New images" : "Pushes are still built. They"
        } are not deployed until somebody switches it on again.</p><//>`;
}

export async function retryBuild(build) {
  const accepted = await ask(`v1/cicd/builds/${build.id}/retry`);
  notify(`Build ${accepted.build_id} of the same commit ${accepted.word}.`);
  go(`#/builds/${accepted.build_id}`);
}
