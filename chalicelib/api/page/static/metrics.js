// Numbers: the four keys of DORA, outcomes per day, and how long work waits and runs.
import { count, duration, html, now, useQuery, useResource } from "./core.js";
import { Card, Choices, Facts, Loading, Problem, Table } from "./ui.js";
import { DaysChart, KEYS, KeyChart } from "./chart.js";
import { useTitle } from "./build.js";
import { ProjectOptions, useProjects } from "./records.js";

const WINDOWS = [["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];

export function Metrics() {
  useTitle("Metrics");
  const [days, setDays] = useQuery("days", "30");
  const [until, setUntil] = useQuery("until");
  const [of, setOf] = useQuery("project");
  const path = `v1/cicd/${of ? `projects/${of}/` : ""}metrics?days=${days}${until
    ? `&until=${until}` : ""}`;
  const found = useResource(path, () => 60000);
  return html`<div class="stack">
    <div class="head"><div class="head-text"><h1 tabindex="-1">Metrics</h1>
        <p>${found.data ? `From ${found.data.from} to ${found.data.until}, days in UTC`
            : "Days in UTC"}</p></div>
      <div class="actions"><${Choices} label="Window" value=${days}
          onChange=${setDays} options=${WINDOWS} />
        <label><span class="hidden">Last day</span>
          <input type="date" value=${until} max=${new Date(now()).toISOString().slice(0, 10)}
            onInput=${(event) => setUntil(event.target.value)} /></label>
        <label><span class="hidden">Project</span>
          <select value=${of} onChange=${(event) => setOf(event.target.value)}>
            <option value="">All projects</option>
            <${ProjectOptions} ...${useProjects()} /></select></label></div></div>
    ${found.data ? html`<${Shown} metrics=${found.data} />` : found.error
      ? html`<div class="card"><${Problem} error=${found.error} what="the metrics" /></div>`
      : html`<${Loading} what="Loading metrics" />`}
  </div>`;
}

const percent = (rate) =>
  (rate == null ? "–" : `${(rate * 100).toFixed(rate > 0 && rate < 0.1 ? 1 : 0)} %`);
const span = (seconds) => (seconds == null ? "–" : duration(seconds));

function Tile({ name, value, children }) {
  return html`<div class="tile"><dt>${name}</dt><dd>${value}<span class="sub">${children}</span>
      </dd></div>`;
}

function perDay(rate) {
  if (rate == null) return "–";
  return rate >= 10 ? rate.toFixed(0) : rate.toFixed(rate >= 1 || rate === 0 ? 1 : 2);
}

function Shown({ metrics }) {
  const { dora, queue } = metrics;
  const times = [["Queue", "from the request to its start", metrics.queue_seconds],
    ["Build", "from its start to its end", metrics.build_seconds],
    ["Deployment", "from the start of its rollout to its end", metrics.deploy_seconds]];
  return html`<dl class="tiles">
      <${Tile} name="Deployment frequency" value=${perDay(dora.deployments_per_day)}>per day<//>
      <${Tile} name="Lead time" value=${span(dora.lead_time_seconds.p50)}>median, push to running
      <//>
      <${Tile} name="Change failure rate" value=${percent(dora.change_failure_rate)}>of deployments
      <//>
      <${Tile} name="Time to restore" value=${span(dora.time_to_restore_seconds.p50)}>
        median of ${count(dora.time_to_restore_seconds.count, "failure")}<//>
    </dl>
    <div class="halves">${KEYS.map((key) =>
        html`<${Card} key=${key.title} title=${key.title} aside="per day">
            <${KeyChart} metrics=${metrics} of=${key} /><//>`)}</div>
    <div class="halves"><${Card} title="Deployments per day"
        aside=${`${percent(metrics.deployments.success_rate)} succeeded`}>
        <${DaysChart} metrics=${metrics} kind="deployments" tall /><//>
      <${Card} title="Builds per day" aside=${`${percent(metrics.builds.success_rate)} succeeded`}>
        <${DaysChart} metrics=${metrics} kind="builds" tall /><//></div>
    <div class="halves"><${Card} title="How long it takes">
        <${Table} label="Durations" rows=${times} keyOf=${([name]) => name} columns=${[
        { name: "Part", show: ([name, about]) =>
          html`<div class="two"><span class="name">${name}</span><span class="sub">${about}</span>
            </div>` },
        { name: "Median", class: "end", show: ([, , value]) =>
          html`<span class="figure">${span(value.p50)}</span>` },
        { name: "95 of 100 within", class: "end", show: ([, , value]) =>
          html`<span class="figure">${span(value.p95)}</span>` },
        { name: "Count", class: "end", show: ([, , value]) =>
          html`<span class="figure">${value.count.toLocaleString("en")}</span>` },
      ]} /><//>
      <div class="stack"><${Card} title="Outcomes">
          <${Table} label="Outcomes" keyOf=${([name]) => name}
            rows=${[["Builds", metrics.builds], ["Deployments", metrics.deployments]]} columns=${[
        { name: "What", show: ([name]) => html`<span class="name">${name}</span>` },
        ...["success", "failed", "cancelled", "superseded", "rolled_back"].map((key) =>
          ({ name: { success: "Succeeded", failed: "Failed", cancelled: "Cancelled",
                superseded: "Superseded", rolled_back: "Rolled back" }[key], class: "end",
              show: ([, row]) => html`<span class="figure">${row[key] ?? "–"}</span>` })),
      ]} /><//>
      <${Card} title="Queue now">
        <${Facts} rows=${[["Builds that wait", String(queue.depth)],
            ["Oldest", span(queue.oldest_seconds)]]} /><//></div></div>`;
}
