// Charts. uPlot loads when the first chart is shown.
import { duration, html, useEffect, useRef, useState } from "./core.js";
import { Table } from "./ui.js";

let library;

function uplot() {
  library ??= import("./uplot.js").then((module) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("./uplot.css", import.meta.url).href;
    document.head.append(link);
    return module.default;
  });
  return library;
}

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const DAY = new Intl.DateTimeFormat("en-GB",
  { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const SHORT_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC"
  });

// How the values of an axis are written, and the steps between its lines.
const NUMBERS = { write: (value) => value.toLocaleString("en"), width: 34,
  steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] };
const SHARES = { write: (value) => `${Math.round(value)} %`, width: 48,
  steps: [5, 10, 20, 25, 50, 100] };
const TIMES = { write: duration, width: 64,
  steps: [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800,
    2592000] };

/** Stacked bars. `series` are [name, colour, values], the lowest first; a value may be null. */
export function Bars({ days, series, tall, label, describe, unit = NUMBERS }) {
  const frame = useRef(null);
  const [at, setAt] = useState(null);
  const [, setDrawn] = useState(false);
  const content = JSON.stringify([days, series]);
  useEffect(() => {
    let chart, ended = false;
    async function draw() {
      const Chart = await uplot();
      if (ended || !frame.current) return;
      chart?.destroy();
      const seconds = days.map((day) => Date.parse(`${day}T12:00:00Z`) / 1000);
      const sums = [];
      for (const [, , values] of series) sums.push(values.map((value, index) =>
          value + (sums.at(-1)?.[index] ?? 0)));
      const order = series.map((_, index) => index).reverse(); // the tallest bars are drawn first
      const most = Math.max(1, ...(sums.at(-1) ?? [1]));
      const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif",
        grid: { stroke: colour("border"), width: 1 }, ticks: { show: false } };
      chart = new Chart({
        width: frame.current.clientWidth,
        height: frame.current.clientHeight,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        tzDate: (time) => Chart.tzDate(new Date(time * 1000), "Etc/UTC"),
        scales: { x: { time: true, range: () => [seconds[0] - 43200, seconds.at(-1) + 43200] },
          y: { range: [0, unit === SHARES ? 100 : Math.ceil(most * 1.1)] } },
        axes: [
          { ...axis, size: 26, grid: { show: false }, space: 60, values: (_, ticks) =>
            ticks.map((tick) => SHORT_DAY.format(tick * 1000)),
            incrs: [86400, 172800, 604800, 1209600, 2592000] },
          { ...axis, size: unit.width, space: 34, incrs: unit.steps, gap: 6,
            values: (_, ticks) => ticks.map(unit.write) },
        ],
        series: [{}, ...order.map((index) =>
            ({ fill: colour(series[index][1]), stroke: "transparent", width: 0,
                points: { show: false }, paths: Chart.paths.bars({ size: [0.7, 28], radius: 0.15 })
              }))],
        hooks: { setCursor: [(self) => setAt(self.cursor.idx ?? null)] },
      }, [seconds, ...order.map((index) => sums[index])], frame.current);
      setDrawn(true);
    }
    draw();
    const resize = new ResizeObserver(() => frame.current
      && chart?.setSize({ width: frame.current.clientWidth, height: frame.current.clientHeight }));
    resize.observe(frame.current);
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => { ended = true; resize.disconnect(); theme.disconnect();
      scheme.removeEventListener("change", draw); chart?.destroy(); };
  }, [content]);
  const value = !days[at] ? null // also if the chart has fewer days now
    : `${DAY.format(Date.parse(`${days[at]}T12:00:00Z`))}: ${describe(at)}`;
  return html`<div class="chart">
    <div class="legend" aria-hidden="true">
      ${series.map(([name, tone]) =>
          html`<span key=${name}><i class=${`swatch ${tone === "border-strong" ? "ended" : tone}`}>
              </i>${name}</span>`)}</div>
    <div class=${`chart-frame ${tall ? "tall" : ""}`} ref=${frame} role="img" aria-label=${label}>
    </div>
    <p class="chart-value">${value ?? "Point at a day for its values."}</p>
    <${Days} days=${days} series=${series} unit=${unit} label=${label} />
  </div>`;
}

/** The same values as a table, for those who do not point. */
function Days({ days, series, unit, label }) {
  const [open, setOpen] = useState(false);
  const columns = [{ name: "Day", show: (at) => DAY.format(Date.parse(`${days[at]}T12:00:00Z`)) },
    ...series.map(([name, , values]) => ({ name, class: "end", show: (at) =>
      html`<span class="figure">${values[at] == null ? "–" : unit.write(values[at])}</span>` }))];
  return html`<details class="days" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Values of all days</summary>
    ${open && html`<${Table} label=${label} rows=${days.map((_, at) => at).reverse()}
        keyOf=${(at) => days[at]} columns=${columns} />`}</details>`;
}

const shareOf = (rate) => (rate == null ? null : rate * 100);

/** DORA's four keys, each with the name and the value of a day. */
export const KEYS = [
  { title: "Deployment frequency", name: "Changes deployed", unit: NUMBERS, tone: "running",
    value: (dora) => dora.deployments_per_day },
  { title: "Lead time", name: "Median, push to running", unit: TIMES, tone: "running",
    value: (dora) => dora.lead_time_seconds.p50 },
  { title: "Change failure rate", name: "Share of the changes that failed", unit: SHARES,
    tone: "failed", value: (dora) => shareOf(dora.change_failure_rate) },
  { title: "Time to restore", name: "Median of the failures that ended", unit: TIMES,
    tone: "running", value: (dora) => dora.time_to_restore_seconds.p50 },
];

export function KeyChart({ metrics, of: { title, name, unit, tone, value } }) {
  const days = metrics.per_day;
  const values = days.map((day) => value(day.dora));
  if (values.every((each) => each === null || (each === 0 && unit === NUMBERS))) {
    return html`<p class="card-body muted">No value in these ${days.length} days.</p>`;
  }
  return html`<${Bars} days=${days.map((day) => day.day)} series=${[[name, tone, values]]}
    describe=${(at) => (values[at] == null ? "no value" : unit.write(values[at]))} unit=${unit}
    label=${`${title} in ${days.length} days`} />`;
}

/** Builds or deployments per day, by how they ended. */
export function DaysChart({ metrics, kind, tall }) {
  if (!metrics) return html`<div class="chart"></div>`;
  const days = metrics.per_day;
  const of = (name) => days.map((day) => day[kind][name] ?? 0);
  const good = of("success");
  const failed = of("failed");
  const other = days.map((day) => (day[kind].cancelled ?? 0) + (day[kind].superseded ?? 0));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const series = [["Succeeded", "success", good], ["Failed", "failed", failed]];
  if (sum(other)) series.push(["Cancelled or superseded", "border-strong", other]);
  const describe = (at) => [
    [good[at], "succeeded"], [failed[at], "failed"],
    [of("rolled_back")[at], "rolled back"], [other[at], "cancelled or superseded"],
  ].filter(([number], place) => number || place < 2).map((part) => part.join(" ")).join(", ");
  if (!sum(good) && !sum(failed)
    && !sum(other)) return html`<p class="card-body muted">No ${kind} in these ${days.length} days.
    </p>`;
  return html`<${Bars} days=${days.map((day) => day.day)} series=${series} tall=${tall}
      describe=${describe}
    label=${`${kind} in ${days.length} days: ${sum(good)} succeeded, ${sum(failed)} failed`} />`;
}
