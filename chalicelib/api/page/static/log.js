// A log of any length: read in pages, kept in chunks, and only the visible lines are elements.
import {
  announce, get, html, notify, poll, replaceQuery, route, useCallback, useEffect, useLayoutEffect,
  useRef, useRoute, useState,
} from "./core.js";
import { Button, Icon, lineClass, SearchField } from "./ui.js";

const CHUNK = 2000;
const PAGE = 5000;
const ROW = 20; // pixels, as in the styles
const TALLEST = 10_000_000; // browsers limit the height of an element
const LONGEST = 5000; // characters of a line that are drawn
const PAUSE = 1500; // milliseconds

const BUILDKIT =
  /^#(\d+) (?:\[((?!internal|auth)[^\]]+)\] (.+)|(DONE|CACHED|ERROR|CANCELED)\b ?([\d.]+)?)/;

export class Lines {
  #chunks = [];
  length = 0;
  steps = [];

  add(lines) {
    for (const line of lines) {
      if (this.length % CHUNK === 0) this.#chunks.push([]);
      this.#chunks.at(-1).push(line);
      this.#note(line, this.length);
      this.length += 1;
    }
  }

  at(index) {
    return this.#chunks[Math.floor(index / CHUNK)]?.[index % CHUNK];
  }

  /** Indices from `from` to `to` of lines that contain `text`, which is in lower case. */
  find(text, from, to) {
    const found = [];
    for (let index = from; index < to; index += 1) {
      if (this.at(index).message.toLowerCase().includes(text)) found.push(index);
    }
    return found;
  }

  blob() {
    const parts = this.#chunks.map((chunk) => `${chunk.map((line) => line.message).join("\n")}\n`);
    return new Blob(parts, { type: "text/plain" });
  }

  // Steps of the build: Slipway's commands, and BuildKit's within them ("#7 [2/4] RUN make").
  #note({ message, timestamp }, index) {
    const command = /^\[Container\] .*?Running command echo "([^"$]+)"/.exec(message);
    if (command) {
      this.#end(timestamp);
      this.steps.push({ title: command[1], index, from: timestamp, to: null, state: "running",
          inner: new Map() });
      return;
    }
    const step = this.steps.at(-1);
    if (!step) return;
    const inner = BUILDKIT.exec(message);
    if (inner) this.#noteInner(step, inner, timestamp, index);
    else if (/^\[Container\] .*Command did not exit successfully/.test(message)) {
      step.state = "failed"; step.to ??= timestamp; }
    else if (/^\[Container\] .*Phase complete: (?:PRE_)?BUILD /.test(message)) this.#end(timestamp);
  }

  #noteInner(step, [, number, place, title, word, seconds], timestamp, index) {
    const known = step.inner.get(number);
    if (title && !known) step.inner.set(number,
      { place, title, index, from: timestamp, to: null, state: "running" });
    else if (word && known && known.state === "running") {
      known.state = word === "ERROR" ? "failed" : word === "CANCELED" ? "cancelled" : "success";
      known.cached = word === "CACHED";
      known.to = timestamp;
      known.seconds = seconds ? Number(seconds) : null;
    }
  }

  #end(timestamp) {
    const last = this.steps.at(-1);
    if (last && last.state === "running") { last.state = "success"; last.to = timestamp; }
  }
}

/** Whether more lines are likely to be there already. CloudWatch limits a page to 1 MB. */
const isLarge = (lines) => lines.length >= PAGE / 5
  || lines.reduce((sum, line) => sum + line.message.length, 0) > 500_000;

/** Reads a log to its end, and follows it while its job runs, with a look each `pause`. */
export function useLog(path, pause = PAUSE) {
  const pace = useRef(pause);
  pace.current = pause;
  const [state, setState] = useState({ path: null });
  useEffect(() => {
    const lines = new Lines();
    let cursor = null, isComplete = false;
    async function read() {
      if (isComplete) return null;
      const query = new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }) });
      const page = await get(`${path}?${query}`);
      lines.add(page.lines);
      cursor = page.next_cursor ?? cursor;
      isComplete = page.complete;
      return page;
    }
    const show = (more) =>
      setState((before) => ({ ...before, ...more, path, lines, size: lines.length }));
    show({ complete: false, expired: false, reading: true, error: null });
    return poll(read,
      (page) => (isComplete ? null : isLarge(page.lines) ? 0 : pace.current),
      ({ data: page, error }) => {
        if (error) show({ error, reading: false });
        else if (page) show({ complete: page.complete, expired: page.expired,
            reading: page.lines.length > 0, error: null });
      });
  }, [path]);
  return state.path === path ? state : { path, lines: null, size: 0, reading: true };
}

const TIME = new Intl.DateTimeFormat("en-GB",
  { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function LogView({ log, name, running, atEnd: fromEnd, place, chosen, onChoose }) {
  const scroller = useRef(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [following, setFollowing] = useState(!chosen && (running || fromEnd));
  const { lines, size } = log;
  const real = size * ROW;
  const drawn = Math.min(real, TALLEST);
  const ratio = drawn > height ? (real - height) / (drawn - height) : 1;
  const search = useSearch(lines, size);
  const pixel = useRef(0); // where the view begins, in pixels of the whole log

  const scrollToLine = useCallback((index) => {
    const box = scroller.current;
    setFollowing(false);
    pixel.current = Math.max(0, index * ROW - box.clientHeight / 3);
    box.scrollTop = pixel.current / ratio;
  }, [ratio]);

  const lookAt = useCallback((index, focus) => {
    scrollToLine(index);
    if (focus) scroller.current.focus({ preventScroll: true });
  }, [scrollToLine]);
  if (place) place.current = lookAt;

  useLayoutEffect(() => {
    const box = scroller.current;
    const measure = () => setHeight(box.clientHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (following) box.scrollTop = box.scrollHeight;
  }, [size, following, height]);

  // More lines change the scale of a very long log; the reader stays at the same line.
  useLayoutEffect(() => {
    if (!following) scroller.current.scrollTop = pixel.current / ratio;
  }, [ratio]);

  // A line of the address is shown once it is there.
  const shownLine = useRef(null);
  useEffect(() => {
    if (!chosen || chosen > size || shownLine.current === chosen) return;
    shownLine.current = chosen;
    const pixels = (chosen - 1) * ROW - pixel.current;
    if (pixels < 0 || pixels > scroller.current.clientHeight - ROW) scrollToLine(chosen - 1);
    else setFollowing(false);
  }, [chosen, size]);

  useEffect(() => {
    if (search.current !== null) scrollToLine(search.current);
  }, [search.current]);

  function onScroll({ currentTarget: box }) { // it may come after the view was left
    setTop(box.scrollTop);
    pixel.current = box.scrollTop * ratio;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < ROW * 2;
    if (following && !atEnd
      && box.scrollTop < last.current) setFollowing(false); // the reader scrolls up
    last.current = box.scrollTop;
  }
  const last = useRef(0);

  function jump() {
    setFollowing(true);
    scroller.current.scrollTop = scroller.current.scrollHeight;
  }

  const firstPixel = top * ratio;
  const first = Math.max(0, Math.floor(firstPixel / ROW) - 15);
  const count = Math.ceil(height / ROW) + 30;
  const rows = [];
  for (let index = first; index < Math.min(size, first + count); index += 1) rows.push(index);
  const offset = top - (firstPixel - first * ROW);
  // One link is a stop of the Tab key; the arrow keys go from line to line.
  const firstWhole = Math.ceil(firstPixel / ROW) + 1;
  const stop = chosen >= firstWhole && chosen < firstWhole + Math.floor(height / ROW) ? chosen
    : firstWhole;
  const atEnd = firstPixel + height >= real - 2 * ROW;

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(lines.blob());
    link.download = `${name}.log`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    if (!log.complete) notify(`The file has the ${size.toLocaleString("en")} lines so far.`);
  }

  return html`<section class="card log" aria-label="Log">
    <div class="log-tools"><${SearchField} label="Search the log" value=${search.text}
        onInput=${search.setText}
        onKeyDown=${(event) => {
            if (event.key === "Enter") { event.preventDefault();
              search.move(event.shiftKey ? -1 : 1); } }} />
      ${search.text && html`<span class="found figure" role="status">
            ${search.total ? `${search.position + 1} of ${search.total}${search.busy ? "+" : ""}`
              : search.busy ? "…" : "None"}</span>
        <${Button} onClick=${() => search.move(-1)} aria-label="Previous match">↑<//>
          <${Button} onClick=${() => search.move(1)} aria-label="Next match">↓<//>`}
      <span class="top-end">${running
          && html`<${Button} aria-pressed=${following} onClick=${() =>
              (following ? setFollowing(false) : jump())}>${following ? "Following" : "Follow"}
            <//>`}
        <${Button} onClick=${download} disabled=${!size}><${Icon} name="save" />Download<//></span>
        </div>
    <div class="log-frame">
      <div class="log-scroll" style=${{ height: `${Math.max(running ? 320 : 0, drawn + 12)}px` }}
        ref=${scroller} onScroll=${onScroll} tabindex="0" role="region"
        aria-label="Lines of the log">
        ${size === 0 ? html`<div class="log-empty">${emptyText(log, running)}</div>`
          : html`<div class="log-space" style=${{ height: `${drawn}px` }}>
              <div class="log-rows" style=${{ transform: `translateY(${offset}px)` }}>
            ${rows.map((index) => html`<${Row} key=${index} index=${index} line=${lines.at(index)}
                    chosen=${chosen === index + 1} onChoose=${onChoose} stop=${stop === index + 1}
                    text=${search.text.toLowerCase()} current=${search.current === index} />`)}
          </div></div>`}
      </div>
      ${size > 0 && !atEnd && html`<button type="button" class="button jump" onClick=${jump}>
            <${Icon} name="down" />Jump to end</button>`}
    </div>
    <div class="log-foot"><span class="figure">${size.toLocaleString("en")} lines</span>
      <span>${footText(log, running)}</span></div>
  </section>`;
}

function emptyText(log, running) {
  if (log.error && !log.error.mayPass) return log.error.message;
  if (log.expired) return "This log has expired: CloudWatch has deleted its lines.";
  if (log.complete) return "This log has no lines.";
  return running ? "No lines yet. They are shown as they come." : "Reading the log…";
}

function footText(log, running) {
  if (log.error?.mayPass) return "The log cannot be read now; trying again.";
  if (log.error) return log.error.message;
  if (log.complete) return "Complete";
  if (log.reading) return "Reading…";
  return running ? "Waiting for lines" : "The last lines may still come";
}

const STEPS = { ArrowUp: -1, ArrowDown: 1 };

function Row({ index, line, chosen, onChoose, stop, text, current }) {
  const number = index + 1;
  const { message } = line;
  const shown = message.length > LONGEST ? message.slice(0, LONGEST) : message;
  const choose = (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    onChoose(number);
  };
  const step = (event) => {
    const next = document.querySelector(`#line-${number + STEPS[event.key]} a`);
    if (next) { event.preventDefault(); next.focus(); }
  };
  return html`<div class=${`log-row ${lineClass(message)} ${chosen ? "chosen" : ""}`}
      id=${`line-${number}`}>
    <a href=${lineHref(number)} onClick=${choose} onKeyDown=${step} aria-label=${`Line ${number}`}
      tabindex=${stop ? 0 : -1}>${number}</a>
    <time datetime=${line.timestamp} title=${line.timestamp}>
      ${TIME.format(new Date(line.timestamp))}</time>
    <bdi>${text ? marked(shown, text, current) : shown}</bdi>
      ${message.length > LONGEST && html`<${Rest} number=${message.length - LONGEST} />`}</div>`;
}

function Rest({ number }) {
  return html`<em class="muted">
    ${` … ${number.toLocaleString("en")} more characters in the download`}</em>`;
}

function lineHref(number) {
  const { parts } = route();
  return `#/${parts.join("/")}?line=${number}`;
}

function marked(message, text, current) {
  const lower = message.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(text); at >= 0 && parts.length < 200;
    at = lower.indexOf(text, from)) {
    parts.push(message.slice(from, at),
      html`<mark class=${current ? "current" : ""}>${message.slice(at, at + text.length)}</mark>`);
    from = at + text.length;
  }
  return [...parts, message.slice(from)];
}

/** Matches in slices, so that a long log does not block the page. */
function useSearch(lines, size) {
  const [text, setText] = useState("");
  const [state, setState] = useState({ found: [], position: 0, busy: false });
  const done = useRef({ text: "", lines: null, to: 0, found: [] });
  useEffect(() => {
    const wanted = text.toLowerCase();
    if (done.current.text !== wanted || done.current.lines !== lines) {
      done.current = { text: wanted, lines, to: 0, found: [] };
      setState({ found: [], position: 0, busy: Boolean(wanted) });
    }
    if (!wanted || !lines) return undefined;
    let timer;
    const slice = () => {
      const job = done.current;
      const to = Math.min(size, job.to + 40000);
      for (const index of lines.find(wanted, job.to, to)) job.found.push(index);
      job.to = to;
      setState((before) => ({ ...before, found: [...job.found], busy: to < size }));
      if (to < size) timer = setTimeout(slice, 0);
    };
    timer = setTimeout(slice, done.current.to ? 0 : 120);
    return () => clearTimeout(timer);
  }, [text, lines, size]);
  const total = state.found.length;
  const move = (by) => setState((before) =>
    ({ ...before, position: total ? (before.position + by + total) % total : 0 }));
  return { text, setText, total, busy: state.busy, position: state.position, move, current: total
    && text ? state.found[state.position] : null };
}

export function useChosenLine() {
  const chosen = Number(useRoute().query.get("line")) || null;
  const choose = (line) => {
    replaceQuery({ line });
    announce(`The address now points to line ${line}.`);
  };
  return [chosen, choose];
}
