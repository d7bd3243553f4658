// Charts. uPlot loads when the first chart is shown.
import { html, useEffect, useRef, useState } from "./core.js";

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

/** Stacked bars. `series` are [name, colour, values], the lowest first. */
export function Bars({ days, series, tall, label, describe }) {
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
          y: { range: [0, Math.ceil(most * 1.1)] } },
        axes: [
          { ...axis, size: 26, grid: { show: false }, space: 60, values: (_, ticks) =>
            ticks.map((tick) => SHORT_DAY.format(tick * 1000)),
            incrs: [86400, 172800, 604800, 1209600, 2592000] },
          { ...axis, size: 34, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], gap: 6
          },
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
  const value = at === null ? null
    : `${DAY.format(Date.parse(`${days[at]}T12:00:00Z`))}: ${describe(at)}`;
  return html`<div class="chart">
    <div class="legend" aria-hidden="true">
      ${series.map(([name, tone]) =>
          html`<span key=${name}><i class=${`swatch ${tone === "border-strong" ? "ended" : tone}`}>
              </i>${name}</span>`)}</div>
    <div class=${`chart-frame ${tall ? "tall" : ""}`} ref=${frame} role="img" aria-label=${label}>
    </div>
    <p class="chart-value">${value ?? "Point at a day for its values."}</p>
  </div>`;
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
