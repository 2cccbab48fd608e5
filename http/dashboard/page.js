// Shared by the parts of the dashboard: requests, elements, and formats for numbers and times. Text from the
// server becomes text nodes, never markup.

export const byId = (id) => document.getElementById(id);

// --- Asking the server

const ANSWER_TIMEOUT_MS = 10_000;
const TOKEN_KEY = 'creditsd.admin-token';

export const session = {
  token: sessionStorage.getItem(TOKEN_KEY) ?? '',
  requests: new AbortController(),

  keep() {
    if (this.token) sessionStorage.setItem(TOKEN_KEY, this.token);
  },

  // Aborts requests in flight: their answers belong to the user who signed out.
  end() {
    this.token = '';
    sessionStorage.removeItem(TOKEN_KEY);
    this.requests.abort();
    this.requests = new AbortController();
  },
};

// `status` is 0 without an answer. `ended`: the session has ended.
export class Refusal extends Error {
  constructor(message, { status = 0, ended = false } = {}) {
    super(message);
    this.status = status;
    this.ended = ended;
  }
}

async function problemOf(response) {
  try {
    const { code, detail } = await response.json();
    return `The server answered: ${detail} (${response.status} ${code}).`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

// Returns the answer's JSON; throws a Refusal.
export async function ask(path) {
  const ended = session.requests.signal;
  const headers = session.token ? { Authorization: `Bearer ${session.token}` } : {};
  const signal = AbortSignal.any([ended, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  try {
    const response = await fetch(path, { headers, signal, cache: 'no-store' });
    if (response.ok) return await response.json();
    throw new Refusal(await problemOf(response), { status: response.status, ended: ended.aborted });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const late = error.name === 'TimeoutError';
    throw new Refusal(late ? 'The server took too long to answer.' : 'The server cannot be reached.',
                      { ended: ended.aborted });
  }
}

// Ignores calls while `work` is running, so that repeated calls do not pile up.
export function oneAtATime(work) {
  let busy = false;
  return async (...given) => {
    if (busy) return;
    busy = true;
    try {
      await work(...given);
    } finally {
      busy = false;
    }
  };
}

// --- Elements

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Leaves unchanged text alone, so that a selection in it stays.
export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

// An empty text hides the element.
export function setNotice(element, text) {
  setText(element, text);
  element.hidden = !text;
}

// Announces to screen readers, which read only the dialog while one is open.
export function announce(text) {
  const region = document.querySelector('dialog[open] [role=status]') ?? byId('announcement');
  setText(region, text);
}

// Gives `parent` one child per item. Existing children stay, so that focus, selections and clicks in
// progress survive.
export function fill(parent, items, { key, create, update }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const children = items.map((item) => {
    const child = known.get(String(key(item))) ?? create(item);
    child.dataset.key = key(item);
    update(child, item);
    return child;
  });
  const same = children.length === parent.children.length
    && children.every((child, n) => child === parent.children[n]);
  if (same) return;
  const focused = document.activeElement;
  parent.replaceChildren(...children);
  if (parent.contains(focused)) focused.focus({ preventScroll: true });
}

// `facts`: [name, value] or [name, value, note].
export function fillFacts(list, facts) {
  fill(list, facts, {
    key: ([name]) => name,
    create: ([name]) => make('div', {}, make('dt', {}, name), make('dd'), make('dd', { className: 'quiet' })),
    update: (row, [, value, note = '']) => {
      setText(row.children[1], value);
      setNotice(row.children[2], note);
    },
  });
}

// Shows how full a cap is: usage, holds, and in red the excess. A null cap has no bar.
export function makeBar() {
  return make('div', { className: 'bar', 'aria-hidden': 'true' },
    ...['used', 'held', 'over'].map((part) => make('span', { className: part })));
}

export function setBar(bar, { used, held, cap }) {
  bar.classList.toggle('unlimited', cap === null);
  const within = cap === null ? 0 : Math.min(used, cap);
  const widths = cap === null ? [0, 0, 0] : [within, held, used - within];
  const scale = Math.max(cap ?? 0, used + held, 1);
  widths.forEach((width, n) => { bar.children[n].style.width = `${(100 * width) / scale}%`; });
}

// --- Words

const GROUPED = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const PRECISE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 2, minimumFractionDigits: 2 });

export const NONE = '–';

export function count(number) {
  return number == null ? NONE : GROUPED.format(number);
}

// Larger values get fewer decimals: 0.21, 9.5, 130.
export function decimal(number) {
  if (number == null) return NONE;
  if (number === 0) return '0';
  if (number < 1) return PRECISE.format(number);
  return number < 100 ? SHORT.format(number) : GROUPED.format(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

// 2026-11-24T03:53:00.000Z as 2026-11-24 03:53:00
export function time(iso) {
  return iso ? iso.slice(0, 19).replace('T', ' ') : NONE;
}
