// The page as a whole: sign-in, polling the server's figures, and showing them. installs.js handles single
// installs.

import {
  announce, ask, byId, count, decimal, duration, fill, make, NONE, plural, session, setNotice,
  setText,
} from '/page.js';
import * as installs from '/installs.js';

const POLL_MS = 1000;
const LATE_MS = 3000; // slower answers are reported
const LIST_EVERY_POLLS = 3;
const SPANS_S = [60, 120, 300]; // of the charts: the shortest that fits all samples is used
const GAP_MS = 5000; // lines are not drawn across longer gaps
const PENDING_MS_MAX = 1000; // beyond this, the oldest pending write is marked
const PRINTABLE = /^[!-~]+$/; // allowed in a header
const ALL = 'all';

// --- The page's state: loading, failure, sign-in or content

const STATES = ['loading', 'failure', 'sign-in', 'content'];
let state = 'loading';

function enter(next) {
  state = next;
  for (const name of STATES) byId(name).hidden = name !== next;
  byId('sign-out').hidden = !session.token || next === 'sign-in';
}

function askToSignIn(problem) {
  const typed = state === 'sign-in';
  session.end();
  forget();
  enter('sign-in');
  setNotice(byId('silence'), '');
  setNotice(byId('trouble'), '');
  setText(byId('sign-in-problem'), problem);
  showPulse('waiting', 'Signed out');
  setText(byId('server'), '');
  if (!typed) announce('Signed out');
  byId('token').focus();
}

byId('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  session.token = byId('token').value.trim();
  signingIn = PRINTABLE.test(session.token);
  setText(byId('sign-in-problem'), signingIn ? '' : 'A token consists of printable ASCII characters, without spaces.');
  poll();
});

// Removes all data from the page.
byId('sign-out').addEventListener('click', () => {
  session.end();
  history.replaceState(null, '', location.pathname);
  location.reload();
});

byId('skip').addEventListener('click', (event) => {
  event.preventDefault(); // the hash is the page's state
  byId('main').focus();
});

// --- The poll

let signingIn = false;
let polls = 0;
let nextPoll;
let asking = false;
let askedAt = 0;
let answeredAt = null;
let failure = null;

// Sends one request at a time, and none while the page is hidden.
async function poll() {
  clearTimeout(nextPoll);
  if (asking || document.hidden || (state === 'sign-in' && !signingIn)) return;
  asking = true;
  askedAt = performance.now();
  try {
    const stats = await ask('/v1/stats');
    answered(stats);
  } catch (refusal) {
    if (!refusal.ended) refused(refusal);
  }
  if (state === 'content') installs.refreshOpened();
  asking = false;
  nextPoll = setTimeout(poll, Math.max(0, askedAt + POLL_MS - performance.now()));
}

function answered(stats) {
  const recovered = failure !== null;
  failure = null;
  answeredAt = performance.now();
  if (recovered) announce('The figures are live again');
  if (state !== 'content') begin();
  else if (recovered || ++polls % LIST_EVERY_POLLS === 0) installs.refreshList();
  showFigures(stats);
  showSilence();
}

function begin() {
  const signed = signingIn;
  signingIn = false;
  session.keep();
  byId('token').value = '';
  enter('content');
  if (signed) {
    announce('Signed in');
    byId('main').focus();
  }
  installs.follow();
}

function refused(refusal) {
  const tried = session.token !== '';
  if (refusal.status === 401) {
    signingIn = false;
    askToSignIn(tried ? 'The server does not know this token.' : '');
  } else if (refusal.status === 403 && tried) {
    signingIn = false;
    askToSignIn(refusal.message);
  } else {
    if (!failure) announce('The figures are not live');
    failure = refusal;
    setText(byId('failure-reason'), refusal.message);
    if (state !== 'content') enter('failure');
    showSilence();
  }
}

function showPulse(kind, text) {
  byId('pulse').dataset.state = kind;
  setText(byId('pulse'), text);
}

function showSilence() {
  if (state === 'sign-in') return;
  const now = performance.now();
  const late = asking && now - askedAt > LATE_MS;
  if (!failure && !late) {
    if (answeredAt !== null) showPulse('live', 'Live');
    setNotice(byId('silence'), '');
    return;
  }
  showPulse('silent', 'Not live');
  if (state !== 'content') return;
  const age = duration((now - answeredAt) / 1000);
  setNotice(byId('silence'), `${failure?.message ?? 'The server is slow to answer.'} The figures are ${age} old.`);
}

setInterval(showSilence, 1000);
document.addEventListener('visibilitychange', poll);

// --- Figures

let previous = null; // the last stats
let samples = [];

function forget() {
  previous = null;
  samples = [];
  answeredAt = null;
  failure = null;
  installs.forget();
}

// The activity between two polls, by the server's clock.
function sampleOf(stats) {
  const at = performance.now();
  const since = previous?.started_at === stats.started_at ? previous : null; // after a restart it counts from 0
  const seconds = since && stats.uptime_seconds - since.uptime_seconds;
  const rate = (now, before) => (since ? Math.max(0, now - before) / seconds : null);
  const operations = {};
  for (const [name, now] of Object.entries(stats.requests)) {
    const before = since?.requests[name];
    operations[name] = {
      count: now.count,
      errors: now.errors,
      rate: rate(now.count, before?.count),
      errorRate: rate(now.errors, before?.errors),
      p50: milliseconds(now.p50_us),
      p99: milliseconds(now.p99_us),
    };
  }
  operations[ALL] = sumOf(Object.values(operations));
  const batches = since && stats.persister.batches - since.persister.batches;
  return {
    at,
    operations,
    rowsPerWrite: batches > 0 ? (stats.persister.rows - since.persister.rows) / batches : null,
    rowsPerWriteHigh: stats.persister.rows_per_batch_p99 || null,
    syncP50: milliseconds(stats.persister.sync_p50_us),
    syncP99: milliseconds(stats.persister.sync_p99_us),
    live: stats.actors.live,
    waiting: stats.persister.queue_depth,
    shedRate: rate(stats.http.shed_total, since?.http.shed_total),
  };
}

// 0 if there was nothing to measure.
function milliseconds(microseconds) {
  return microseconds ? microseconds / 1000 : null;
}

function sumOf(operations) {
  const sum = (name) => operations.reduce((total, operation) => total + operation[name], 0);
  const worst = (name) => Math.max(...operations.map((operation) => operation[name] ?? 0)) || null;
  const known = operations.every((operation) => operation.rate !== null);
  return {
    count: sum('count'),
    errors: sum('errors'),
    rate: known ? sum('rate') : null,
    errorRate: known ? sum('errorRate') : null,
    p50: worst('p50'),
    p99: worst('p99'),
  };
}

function showFigures(stats) {
  const sample = sampleOf(stats);
  const last = samples.at(-1);
  if (last && sample.at - last.at > GAP_MS) samples.push({ at: last.at + 1, gap: true });
  samples.push(sample);
  samples = samples.filter(({ at }) => at > sample.at - 1000 * SPANS_S.at(-1) - GAP_MS);
  previous = stats;

  setText(byId('server'),
    `${stats.version} · ${stats.store.engine} · up ${duration(stats.uptime_seconds)}`);
  const { trouble } = stats.store;
  setNotice(byId('trouble'), trouble ? `The store rejects writes: ${trouble}` : '');
  showTiles(stats, sample);
  showOperations(sample);
  showHottest(stats.actors.hottest);
  showCharts();
}

function showTiles({ store, actors, persister, http }, sample) {
  const all = sample.operations[ALL];
  const tiles = [
    ['Requests', decimal(all.rate), '/s', `${decimal(all.errorRate)} errors/s`],
    ['Live actors', count(actors.live), '',
     `${count(actors.spawned_total)} spawned, ${count(actors.passivated_total)} retired`],
    ['Installs', count(store.installs), '', `${count(store.conflicts_total)} write conflicts`],
    ['Mailbox max', count(actors.mailbox_max), '', 'in the last minute'],
    ['Oldest pending write', count(persister.oldest_pending_ms), 'ms',
     `${count(persister.queue_depth)} waiting, ${count(store.write_failures_total)} failed`,
     persister.oldest_pending_ms > PENDING_MS_MAX],
    ['Snapshot lag', count(store.snapshot_lag_ms), 'ms', `${plural(store.snapshot_pending_rows, 'row')} to write`],
    ['Shed', count(http.shed_total), '', 'since startup', sample.shedRate > 0],
    ['Connections', count(http.connections), '', `${plural(http.in_flight, 'request')} in flight`],
  ];
  fill(byId('figures'), tiles, {
    key: ([name]) => name,
    create: ([name, , unit]) => make('div', {},
      make('dt', {}, name),
      make('dd', {}, make('span', { className: 'value' }), unit && make('span', { className: 'unit' }, unit)),
      make('dd', { className: 'quiet' })),
    update: (tile, [, value, , note, marked]) => {
      tile.classList.toggle('marked', Boolean(marked));
      setText(tile.querySelector('.value'), value);
      setText(tile.children[2], note);
    },
  });
}

let chosen = ALL;

function showOperations({ operations }) {
  const names = [ALL, ...Object.keys(operations).filter((name) => name !== ALL)];
  fill(byId('operations').tBodies[0], names, {
    key: (name) => name,
    create: (name) => {
      const button = make('button', { type: 'button' }, name === ALL ? 'all operations' : name);
      button.addEventListener('click', () => choose(name === chosen ? ALL : name));
      return make('tr', {}, make('th', { scope: 'row' }, button),
        ...['', '', '', 'wide', 'wide'].map((width) => make('td', { className: `number ${width}` })));
    },
    update: (row, name) => {
      const { rate, p50, p99, count: total, errors } = operations[name];
      [decimal(rate), decimal(p50), decimal(p99), count(total), count(errors)]
        .forEach((text, n) => setText(row.cells[n + 1], text));
      row.classList.toggle('idle', total === 0);
      row.querySelector('button').setAttribute('aria-pressed', name === chosen);
    },
  });
}

function choose(name) {
  chosen = name;
  showOperations(samples.at(-1));
  showCharts();
  announce(`The charts show ${name === ALL ? 'all operations' : name}`);
}

// The list does not change while the pointer or the focus is on it, so that a click opens the intended install.
function showHottest(hottest) {
  const list = byId('hottest');
  const most = hottest[0]?.messages_handled ?? 0;
  const handled = new Map(hottest.map((install) => [install.install_id, install.messages_handled]));
  const kept = list.matches(':hover, :focus-within') && list.children.length > 0;
  const shown = kept ? [...list.children].map((item) => item.dataset.key) : [...handled.keys()];
  fill(list, shown, {
    key: (id) => id,
    create: (id) => make('li', {}, make('a', { href: installs.linkTo(id) }, id),
      make('span', { className: 'number' }), make('div', { className: 'bar', 'aria-hidden': 'true' },
        make('span', { className: 'used' }))),
    update: (item, id) => {
      const messages = handled.get(id);
      item.children[0].href = installs.linkTo(id);
      setText(item.children[1], count(messages));
      item.querySelector('.used').style.width = `${(100 * (messages ?? 0)) / Math.max(most, 1)}%`;
    },
  });
  list.hidden = shown.length === 0;
  byId('hottest-empty').hidden = shown.length > 0;
}

// --- Charts

// A series: its name, the class of its colour, and its value in a sample.
const CHARTS = [
  { title: 'Requests', unit: 'per second', series: [
    ['all', 'main', (sample) => sample.operations[chosen]?.rate],
    ['errors', 'bad', (sample) => sample.operations[chosen]?.errorRate]], of: () => chosen },
  { title: 'Latency', unit: 'ms', series: [
    ['p50', 'main', (sample) => sample.operations[chosen]?.p50],
    ['p99', 'high', (sample) => sample.operations[chosen]?.p99]], of: () => chosen },
  { title: 'Live actors', unit: 'installs in memory', say: count, series: [
    ['live', 'main', (sample) => sample.live]] },
  { title: 'Batch size', unit: 'rows per durable write', series: [
    ['mean', 'main', (sample) => sample.rowsPerWrite],
    ['p99', 'high', (sample) => sample.rowsPerWriteHigh]] },
  { title: 'Sync time', unit: 'ms', series: [
    ['p50', 'main', (sample) => sample.syncP50],
    ['p99', 'high', (sample) => sample.syncP99]] },
  { title: 'Waiting writes', unit: 'mutations', say: count, series: [
    ['waiting', 'main', (sample) => sample.waiting]] },
];

function makeChart({ title, unit, series, say = decimal }) {
  const canvas = make('canvas', { role: 'img', 'aria-label': `${title} over the last minutes` });
  const keys = series.map(([name, colour]) => make('span', { className: `key ${colour}` },
    `${name} `, make('b', {}, NONE)));
  const heading = make('h3', {}, title);
  byId('charts').append(make('figure', { className: 'panel' },
    make('figcaption', {}, heading, make('span', { className: 'quiet' }, unit), make('p', {}, ...keys)),
    make('div', { className: 'plot' }, canvas)));
  const plot = new Chart(canvas, {
    type: 'line',
    data: { datasets: series.map(([name]) => ({ label: name, data: [], clip: 4 })) },
    options: {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: 'index', intersect: false },
      elements: { point: { radius: radiusOf, hoverRadius: 3 }, line: { borderWidth: 1.75 } },
      scales: {
        x: {
          type: 'linear',
          grid: { display: false },
          afterBuildTicks: (axis) => {
            const step = (axis.max - axis.min) / 4;
            axis.ticks = [4, 3, 2, 1, 0].map((steps) => ({ value: axis.max - steps * step }));
          },
          ticks: { maxRotation: 0, callback: secondsAgo },
        },
        y: { beginAtZero: true, suggestedMax: 1, grid: { drawBorder: false }, ticks: { maxTicksLimit: 4 } },
      },
      plugins: {
        legend: { display: false },
        tooltip: { callbacks: {
          title: ([item]) => `${duration((performance.now() - item.parsed.x) / 1000)} ago`,
          label: (item) => ` ${item.dataset.label}: ${say(item.parsed.y)} ${unit}`,
        } },
      },
    },
  });
  return { plot, keys, heading };
}

// Draws a value without neighbours as a dot.
function radiusOf({ dataset: { data }, dataIndex: n }) {
  const missing = (point) => (point?.y ?? null) === null;
  return missing(data[n - 1]) && missing(data[n + 1]) ? 2 : 0;
}

function secondsAgo(value) {
  const seconds = Math.round((this.max - value) / 1000);
  return seconds === 0 ? 'now' : `−${seconds} s`;
}

Object.assign(Chart.defaults.font, { family: getComputedStyle(document.body).fontFamily, size: 11 });
const charts = CHARTS.map(makeChart);

// Style sheets do not apply to a canvas: set the page's current colours.
function colourCharts() {
  const ink = getComputedStyle(byId('charts').querySelector('.quiet')).color;
  const line = getComputedStyle(byId('charts').firstChild).borderTopColor;
  for (const { plot, keys } of charts) {
    for (const axis of Object.values(plot.options.scales)) {
      axis.ticks.color = ink;
      axis.grid.color = axis.grid.borderColor = line;
    }
    plot.data.datasets.forEach((dataset, n) => {
      dataset.borderColor = dataset.backgroundColor = getComputedStyle(keys[n]).color;
    });
    plot.update();
  }
}

function showCharts() {
  const now = samples.at(-1).at;
  const age = (now - samples[0].at) / 1000;
  const span = SPANS_S.find((seconds) => seconds >= age) ?? SPANS_S.at(-1);
  CHARTS.forEach(({ title, series, of, say = decimal }, index) => {
    const { plot, keys, heading } = charts[index];
    setText(heading, of && of() !== ALL ? `${title}: ${of()}` : title);
    series.forEach(([, , valueIn], n) => {
      const points = samples.map((sample) => ({ x: sample.at, y: sample.gap ? null : valueIn(sample) ?? null }));
      plot.data.datasets[n].data = points;
      setText(keys[n].lastChild, say(points.at(-1).y));
    });
    Object.assign(plot.options.scales.x, { min: now - 1000 * span, max: now });
    plot.update();
  });
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', colourCharts);

// --- Start

colourCharts();
enter('loading');
poll();
