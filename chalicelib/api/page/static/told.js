// What several views show of channels. Only an admin for all projects sees them.
import { can, html, session, useList } from "./core.js";
import { Icon, sentence, Status, Text, Time } from "./ui.js";

/** Whether the token may see and change channels: they tell of all projects. */
export function mayChannels() {
  const own = session.get().whoami;
  return can("admin") && !own.project_id && !own.service_id;
}

/** The channels that are told of a service; none without the right to see them. */
export function useChannelsOf(service) {
  const { items } = useList(mayChannels() ? "v1/channels" : null,
    { all: true, limit: 100, idlePause: 60000 });
  return (items ?? []).filter((row) => [null, service.project_id].includes(row.project_id)
    && [null, service.id].includes(row.service_id));
}

export function ChannelState({ channel, full }) {
  const { off_since: off, failing_since: failing, trouble, tested_at: tested } = channel;
  const state = off ? html`<${Status} status="failed" word="Off" />`
    : failing ? html`<span class="status waiting"><${Icon} name="warning" />Failing</span>`
    : tested ? html`<${Status} status="success" word="Works" />`
    : html`<${Status} status="unseen" word="Not tested" />`;
  if (!failing) return state;
  return html`<div class="two"><span class="inline">${state}<span class="muted">
        ${off ? html`switched off <${Time} at=${off} />`
          : html`first failed <${Time} at=${failing} />`}</span></span>
    ${full && trouble && html`<span class="sub"><${Text}>${sentence(trouble)}<//></span>`}</div>`;
}
