// How releases of a service are rolled out: the strategy and the approval, shown and changed.
import { can, change, html, minutes, notify, percent, useState } from "./core.js";
import { Button, Card, Dialog, Facts, FailureText, Icon, strategyWord } from "./ui.js";
import { useAction } from "./actions.js";

const TYPES = [
  ["ROLLING", "Rolling: tasks in groups"],
  ["BLUE_GREEN", "Blue/green: all traffic at once"],
  ["LINEAR", "Linear: traffic in equal steps"],
  ["CANARY", "Canary: a small part first"],
];
// What each type has besides its name. ECS uses the `usual` value where there is none.
const PARTS = {
  percent: { types: ["LINEAR", "CANARY"], usual: { LINEAR: "10", CANARY: "5" },
    names: { LINEAR: "Percent of each step", CANARY: "Percent of the first step" },
    limits: { min: "0.1", max: "100", step: "0.1" } },
  step_minutes: { types: ["LINEAR", "CANARY"], usual: { LINEAR: "6", CANARY: "10" },
    names: { LINEAR: "Minutes between steps", CANARY: "Minutes after the first step" },
    limits: { min: "0", max: "1440" } },
  bake_minutes: { types: ["BLUE_GREEN", "LINEAR", "CANARY"], usual: {},
    names: {}, limits: { min: "0", max: "1440" } },
};


function strategyText(strategy) {
  if (!strategy) return "as the ECS service has it";
  const { type, percent: part, step_minutes: wait, bake_minutes: bake } = strategy;
  return [strategyWord(type),
    part != null && `${percent(part)} ${type === "LINEAR" ? "in each step" : "first"}`,
    wait != null && `${minutes(wait)} ${type === "LINEAR" ? "between steps"
      : "after the first step"}`,
    bake != null && `bake time ${minutes(bake)}`].filter(Boolean).join(", ");
}

export function RolloutSettings({ service }) {
  const [open, setOpen] = useState(false);
  return html`<${Card} title="Rollout" aside=${can("admin")
      && html`<${Button} onClick=${() => setOpen(true)}
          aria-label="Change the strategy and the approval">Change…<//>`}><${Facts} rows=${[
    ["Strategy", strategyText(service.strategy)],
    ["Approval", service.approval ? `needed within ${minutes(service.approval_minutes)}`
      : "not needed"],
    service.approval && ["May approve", service.approve_own ? "each token that may deploy"
      : "not the token that asked"],
  ]} />
  ${open && html`<${RolloutDialog} service=${service} onClose=${() => setOpen(false)} />`}<//>`;
}

function RolloutDialog({ service, onClose }) {
  const before = formOf(service);
  const [form, setForm] = useState(before);
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.type === "checkbox"
    ? event.target.checked : event.target.value });
  const action = useAction(async () => {
    const now = settingsOf(form), old = settingsOf(before);
    const changed = Object.entries(now)
      .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(old[name]));
    if (changed.length) {
      await change("PATCH", `v1/services/${service.id}`, Object.fromEntries(changed));
      notify(`The rollout of ${service.name} is changed.`);
    }
    onClose();
  });
  const { error, busy } = action;
  const wrong = (field, part = field) => (error?.field === field && error.message.includes(part)
    ? "true" : undefined);
  const parts = Object.entries(PARTS).filter(([, { types }]) => types.includes(form.type));
  return html`<${Dialog} title=${`Rollout of ${service.name}`} onClose=${onClose}
      onSubmit=${action.start} busy=${busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${busy}>Close<//>
        <button type="submit" class="button primary" disabled=${busy}>
          ${busy && html`<${Icon} name="running" />`}Save</button>`}>
    <label class="field"><span>Strategy</span>
      <select value=${form.type} onChange=${set("type")} aria-invalid=${wrong("strategy", "type")}>
        <option value="">As the ECS service has it</option>
        ${TYPES.map(([type, words]) => html`<option key=${type} value=${type}>${words}</option>`)}
      </select></label>
    ${parts.map(([name, part]) => html`<${Part} key=${name} part=${part} type=${form.type}
        value=${form[name]} onInput=${set(name)} invalid=${wrong("strategy", name)} />`)}
    <label class="check"><input type="checkbox" checked=${form.approval}
        onChange=${set("approval")} aria-invalid=${wrong("approval")} />
      <span>Await approval before production traffic</span></label>
    ${form.approval && html`
      <label class="field"><span>Minutes for the approval <span class="hint">then ECS takes the
          release back</span></span>
        <input type="number" min="1" max="20160" required value=${form.approval_minutes}
          onInput=${set("approval_minutes")} aria-invalid=${wrong("approval_minutes")} /></label>
      <label class="check"><input type="checkbox" checked=${form.approve_own}
          onChange=${set("approve_own")} /><span>The token that asked for a deployment may approve
          it</span></label>`}
    <p class="muted">It holds for deployments that begin from now on.</p>
    <${FailureText} error=${error} />
  <//>`;
}

function Part({ part, type, value, onInput, invalid }) {
  const usual = part.usual[type];
  const isBake = !part.names[type];
  const needed = isBake && type === "BLUE_GREEN";
  const empty = usual ? `empty: as the ECS service has it, usually ${usual}`
    : "empty: as the ECS service has it";
  return html`<label class="field"><span>${part.names[type] ?? "Minutes of bake time"}
      ${" "}<span class="hint">${isBake && "the tasks of the release before stay as long"}
        ${isBake && !needed && "; "}${!needed && empty}</span></span>
    <input type="number" ...${part.limits} required=${needed} value=${value} onInput=${onInput}
      placeholder=${usual ?? ""} aria-invalid=${invalid} /></label>`;
}

const formOf = ({ strategy, approval, approval_minutes, approve_own }) => ({
  type: strategy?.type ?? "", approval, approval_minutes: String(approval_minutes), approve_own,
  ...Object.fromEntries(Object.keys(PARTS).map((name) => [name, String(strategy?.[name] ?? "")])),
});

/** The settings that a form means. Only the parts of its own type are sent. */
function settingsOf(form) {
  const parts = Object.entries(PARTS)
    .filter(([name, { types }]) => types.includes(form.type) && form[name] !== "")
    .map(([name]) => [name, Number(form[name])]);
  return {
    strategy: form.type ? { type: form.type, ...Object.fromEntries(parts) } : null,
    approval: form.approval,
    approval_minutes: Number(form.approval_minutes),
    approve_own: form.approve_own,
  };
}
