// Channels: where it is told what happens. Only an admin for all projects sees them.
import {
  ask, change, Failure, get, html, notify, useEffect, useId, useList, useRef, useResource,
  useState, wake,
} from "./core.js";
import {
  Banner, Button, Code, Copy, Dialog, Empty, FailureText, Icon, Loading, SearchField, Status, Text,
  Time, who,
} from "./ui.js";
import { ConfirmDialog, useAction } from "./actions.js";
import { Page, ProjectOptions, useProjects, useRecords, useWords } from "./records.js";
import { ChannelState, mayChannels } from "./told.js";

/** The names of what channels are told of. They are read only if some channel is restricted. */
function useScopes(channels) {
  const restricted = channels.some((row) => row.project_id !== null);
  const services = useList(restricted ? "v1/services" : null, { all: true }).items ?? [];
  return (row) => {
    if (row.project_id === null) return html`all projects`;
    const own = services.find((each) => each.id === row.service_id);
    if (row.service_id !== null) return html`<a href=${`#/services/${row.service_id}`}>
        <${Text}>${own ? `${own.project}/${own.name}` : `service ${row.service_id}`}<//></a>`;
    const project = services.find((each) => each.project_id === row.project_id)?.project;
    return html`project <${Text}>${project ?? row.project_id}<//>`;
  };
}

export function Channels() {
  const list = useRecords("v1/channels");
  const words = useWords();
  const scopeOf = useScopes(list.items ?? []);
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  const rows = (list.items ?? []).filter((row) =>
    words.matches(`${row.name} ${row.kind} ${row.trouble ?? ""}`));
  return html`<${Page} title="Channels" what="the channels" list=${list} rows=${rows}
      keyOf=${(row) => row.id}
    about="Who is told what happens: GitHub, chats and programs."
    action=${mayChannels() && html`<${Button} kind="primary" onClick=${() =>
          setDialog({ act: "edit" })}>New channel…<//>`}
    tools=${html`<${SearchField} label="Filter channels"
          placeholder="Filter by name, kind or trouble" value=${words.text}
          onInput=${words.setText} />`}
    empty=${html`<${Empty} title="No channel yet">
          A channel shows the state of each commit on GitHub, or writes to a chat when a build or a
          deployment fails.<//>`}
    columns=${[
      { name: "Channel", show: (row) =>
        html`<div class="two"><${Text} class="name">${row.name}<//>
            <span class="sub"><span>${row.kind}, by <${Text}>${who(row.created_by)}<//></span>
            </span></div>` },
      { name: "Told of", show: (row) => html`<div class="two"><span>${scopeOf(row)}</span>
            <${Chosen} channel=${row} /></div>` },
      { name: "State", show: (row) => html`<${ChannelState} channel=${row} full />` },
      { name: "Tested", show: (row) => (row.tested_at ? html`<${Time} at=${row.tested_at} />`
          : html`<span class="muted">never</span>`) },
      { name: "Change", show: (row) => html`<div class="actions">
            <${Button} onClick=${() => setDialog({ act: "test", row })}
              aria-label=${`Test the channel ${row.name}`}>Test<//>
            <${Button} onClick=${() => setDialog({ act: "edit", row })}
              aria-label=${`Edit the channel ${row.name}`}>Edit…<//>
            <${Button} kind="danger" onClick=${() => setDialog({ act: "delete", row })}
              aria-label=${`Delete the channel ${row.name}`}>Delete…<//></div>` },
    ]} />
    ${dialog?.act === "edit" && html`<${Edit} channel=${dialog.row} onClose=${close} />`}
    ${dialog?.act === "test" && html`<${Test} channel=${dialog.row} onClose=${close} />`}
    ${dialog?.act === "delete"
      && html`<${ConfirmDialog} title=${`Delete the channel “${dialog.row.name}”?`}
          confirm="Delete it" danger onClose=${close}
      run=${async () => { await change("DELETE", `v1/channels/${dialog.row.id}`);
          notify(`The channel ${dialog.row.name} is deleted.`); }}>
        <p>It is told nothing any more. ${dialog.row.secret && html`Its secret
            <${Code}>${nameIn(dialog.row.secret)}<//> stays in AWS.`}</p><//>`}`;
}

function Chosen({ channel: { events, branches } }) {
  const parts = [events.length ? (events.length > 2 ? `${events.length} events`
      : events.join(", ")) : "", branches.length ? `branches ${branches.join(", ")}` : ""];
  const text = parts.filter(Boolean).join(" · ");
  return text ? html`<span class="sub" title=${events.join(", ")}><${Text}>${text}<//></span>`
    : null;
}

const nameIn = (reference) => reference.replace(/^secretsmanager:/, "");

/** What each kind needs, for channels of a project or of all. */
function useKinds(project) {
  return useResource(`v1/channels/kinds${project ? `?project_id=${project}` : ""}`, () => null);
}

// Test

const LOOKS = 60; // a second apart

/** Tests a channel when it opens, and shows the result. */
function Test({ channel, onClose }) {
  const kinds = useKinds(channel.project_id);
  const kind = kinds.data?.items.find((each) => each.kind === channel.kind);
  const [result, setResult] = useState(null);
  const closed = useRef(false);
  const action = useAction(async () => {
    setResult(null);
    const path = `v1/channels/${channel.id}`;
    const before = await change("POST", `${path}/test`);
    for (let looks = 0; looks < LOOKS && !closed.current; looks += 1) {
      await new Promise((resume) => { setTimeout(resume, 1000); });
      const now = await get(path);
      if (now.tested_at !== before.tested_at) {
        setResult({ ...now, wasOff: before.off_since });
        wake(); // the list shows it, too
        return;
      }
    }
    if (closed.current) return;
    throw new Failure(0, { detail: "The test has no result yet. The list shows it later." });
  });
  useEffect(() => { action.start(); return () => { closed.current = true; }; }, []);
  return html`<${Dialog} title=${`Test of ${channel.name}`} onClose=${onClose}
      footer=${html`<${Button} onClick=${onClose}>Close<//>
          <${Button} kind="primary" busy=${action.busy} onClick=${() => action.start()}>Test again
          <//>`}>
    ${action.busy && html`<${Loading} what="Waiting for the result" />`}
    <div role="status">${result && (result.trouble
        ? html`<${Banner} tone="failed" icon="failed" title="The test failed">${result.trouble}<//>`
        : html`<${Good} channel=${result} />`)}</div>
    ${result?.trouble && kind && html`<${Mend} channel=${result} kind=${kind} />`}
    <${FailureText} error=${action.error} />
  <//>`;
}

function Good({ channel }) {
  return html`<p><${Status} status="success" word=${channel.kind === "github" ? "GitHub answered"
      : "The receiver has taken a test message"} /></p>
    ${channel.kind === "github" && channel.secret && html`<p class="muted">
      Whether the token may write statuses is seen at the next one.</p>`}
    ${channel.wasOff && html`<p>The channel was off, and is on again.</p>`}`;
}

function Mend({ channel, kind }) {
  const { secret, target, trouble } = channel;
  if (!secret) return target
    ? html`<p><${Code}>${target}<//> must be <${Text}>${kind.needs}<//>.</p>` : null;
  const name = nameIn(secret);
  const aws = (verb) => `aws secretsmanager ${verb} ${name} --secret-string file://value.txt`;
  return html`<p>The secret <${Code}>${name}<//> must be <${Text}>${kind.needs}<//>. Write that into
      the file value.txt, run this, delete the file, and test again.</p>
    ${trouble.includes(secret) && html`<div><p class="muted">If the secret does not exist yet:</p>
        <${Command} label="The command that creates the secret"
          text=${aws("create-secret --name")} /></div>`}
    <div><p class="muted">${trouble.includes(secret) ? "If it exists:" : "To replace it:"}</p>
      <${Command} label="The command that replaces the secret"
        text=${aws("put-secret-value --secret-id")} /></div>`;
}

function Command({ label, text }) {
  return html`<div class="command">
      <pre tabindex="0" role="region" aria-label=${label}>${text}</pre>
      <${Copy} text=${text} what="command" /></div>`;
}

// Create and edit

const SCOPE = { all: {}, project: "project_id", service: "service_id" };

function Edit({ channel, onClose }) {
  const [form, setForm] = useState({
    kind: channel?.kind ?? "", name: channel?.name ?? "", scope: "all",
    place: channel ? channel.secret ?? channel.target ?? "" : null, // null: as the kind has it
    chooses: Boolean(channel?.events.length), events: channel?.events ?? [],
    branches: (channel?.branches ?? []).join(" "),
  });
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const { projects, complete } = useProjects();
  const services = useList(channel ? null : "v1/services", { all: true });
  const [scope, number] = form.scope.split(" ");
  const own = scope === "service"
    ? services.items?.find((each) => each.id === Number(number))?.project_id : Number(number);
  const kinds = useKinds(channel ? channel.project_id : own);
  const kind = kinds.data?.items.find((each) => each.kind === form.kind)
    ?? (channel ? undefined : kinds.data?.items[0]);
  const action = useAction(async () => {
    const body = bodyOf(form, kind, channel);
    if (channel) await change("PATCH", `v1/channels/${channel.id}`, body);
    else {
      await ask("v1/channels", { kind: kind.kind, ...body,
        ...(number && { [SCOPE[scope]]: Number(number) }) });
    }
    notify(`The channel ${body.name} is ${channel ? "changed" : "created. Test it"}.`);
    onClose();
  });
  const { error, busy } = action;
  const wrong = (field) => (error?.field === field ? "true" : undefined);
  return html`<${Dialog} title=${channel ? `Edit ${channel.name}` : "New channel"}
      onClose=${onClose} onSubmit=${action.start} busy=${busy}
      footer=${html`<${Button} onClick=${onClose} disabled=${busy}>Close<//>
          <button type="submit" class="button primary" disabled=${busy || !kind}>
            ${busy && html`<${Icon} name="running" />`}${channel ? "Save" : "Create"}</button>`}>
    ${!kinds.data && !kinds.error && html`<${Loading} what="Reading the kinds of channels" />`}
    <${FailureText} error=${kinds.error} />
    ${kind && html`
      ${!channel && html`<label class="field"><span>Kind <span class="hint">
            gets <${Text}>${kind.receives}<//></span></span>
        <select value=${kind.kind} onChange=${(event) =>
            setForm({ ...form, kind: event.target.value, place: null })}>
          ${kinds.data.items.map((each) =>
              html`<option key=${each.kind} value=${each.kind}>${each.kind}</option>`)}</select>
        </label>`}
      <label class="field"><span>Name</span><input type="text" value=${form.name}
          onInput=${set("name")} required maxlength="63" aria-invalid=${wrong("name")} /></label>
      ${!channel && html`<label class="field"><span>Told of</span>
        <select value=${form.scope} onChange=${(event) =>
            setForm({ ...form, scope: event.target.value, place: null })}>
          <option value="all">all projects</option>
          <optgroup label="One project">
            <${ProjectOptions} projects=${projects} complete=${complete} prefix="project " />
          </optgroup>
          <optgroup label="One service">${(services.items ?? []).map((each) =>
              html`<option key=${each.id} value=${`service ${each.id}`}>
                  ${each.project}/${each.name}</option>`)}</optgroup></select></label>`}
      <${Place} kind=${kind} value=${placeOf(form, kind)} onInput=${set("place")}
        invalid=${wrong(kind.field)} isNew=${!channel} />
      ${kind.takes_events && html`<${Events} form=${form} setForm=${setForm}
          all=${kinds.data.events} usual=${kinds.data.usual_events} />`}
      <label class="field"><span>Branches <span class="hint">
            patterns such as release/**, with spaces between; empty for all</span></span>
        <input type="text" value=${form.branches} onInput=${set("branches")} spellcheck=${false}
          aria-invalid=${wrong("branches")} /></label>`}
    <${FailureText} error=${error} />
  <//>`;
}

/** The name of the secret, topic or bus: what was written, or else an example that would work. */
function placeOf(form, kind) {
  return form.place ?? (kind.without || kind.example.includes("<") ? "" : kind.example);
}

function bodyOf(form, kind, channel) {
  const place = placeOf(form, kind).trim();
  const events = form.chooses && kind.takes_events ? form.events : [];
  const branches = form.branches.split(/[\s,]+/).filter(Boolean);
  const had = channel?.[kind.field] ?? null;
  return { name: form.name.trim(),
    ...((channel ? place !== (had ?? "") : place) && { [kind.field]: place || null }),
    ...((channel || events.length) && kind.takes_events && { events }),
    ...((channel || branches.length) && { branches }) };
}

const SAFE = /^[\w/+=.@-]+$/; // needs no quotes in a shell

/** The name of what a channel needs, and the command that creates it. The page never asks for the
 *  secret itself. */
function Place({ kind, value, onInput, invalid, isNew }) {
  const id = useId();
  const usual = nameIn(kind.example), name = nameIn(value.trim());
  const command = SAFE.test(name) ? kind.command.replaceAll(usual, name) : kind.command;
  const isSecret = kind.field === "secret";
  return html`<label class="field"><span>${isSecret ? "Name of the secret" : "Target"}${" "}
        <span class="hint">${!isSecret ? html`<${Text}>${kind.needs}<//>`
            : kind.without ? html`leave it empty to use <${Text}>${kind.without}<//>`
            : "not the secret itself"}</span></span>
      <input type="text" value=${value} onInput=${onInput} spellcheck=${false}
        placeholder=${kind.without ? "" : kind.example} aria-invalid=${invalid}
        aria-describedby=${id} /></label>
    ${(isSecret || isNew) && (name || !kind.without) && html`<div id=${id} class="below">
      ${isSecret && html`<p class="muted">The secret must be <${Text}>${kind.needs}<//>.
        ${isNew && " Write that into the file value.txt, run this, and delete the file."}</p>`}
      ${isNew && html`<${Command} text=${command} label=${`The command that creates the ${
          kind.field}`} />`}</div>`}`;
}

function Events({ form, setForm, all, usual }) {
  const toggle = (event) => (at) => setForm({ ...form, events: at.target.checked
    ? [...form.events, event] : form.events.filter((each) => each !== event) });
  const choose = (chooses) => () => setForm({ ...form, chooses,
    events: chooses && !form.events.length ? usual : form.events });
  return html`<fieldset class="field"><legend>Events</legend>
    <label class="check"><input type="radio" name="events" checked=${!form.chooses}
        onChange=${choose(false)} /><span>The usual ones <span class="hint">
        what a person may have to act on, and each success of a deployment</span></span></label>
    <label class="check"><input type="radio" name="events" checked=${form.chooses}
        onChange=${choose(true)} /><span>These:</span></label>
    ${form.chooses && html`<div class="checks">${all.map((event) =>
        html`<label class="check" key=${event}><input type="checkbox"
              checked=${form.events.includes(event)} onChange=${toggle(event)} />
            <${Code}>${event}<//></label>`)}</div>`}</fieldset>`;
}
