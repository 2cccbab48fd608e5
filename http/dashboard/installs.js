// The list of installs, and the open install. The URL's hash holds the search, the page and the install:
// #prefix=…&tier=…&after=…&install=…, with an `after` for each page turned.

import {
  announce, ask, byId, count, duration, fill, fillFacts, make, makeBar, oneAtATime, plural, setBar,
  setNotice, setText, time,
} from '/page.js';

const INSTALLS_LIMIT = 50;
const ENTRIES_LIMIT = 50;
const ENTRIES_MAX = 2000; // shown for one install
const TYPING_MS = 200; // a search begins after this pause in typing

// --- The hash

let place = { prefix: '', tier: '', after: [], install: '' };

function placeIn(hash) {
  const fields = new URLSearchParams(hash.slice(1));
  return {
    prefix: fields.get('prefix') ?? '',
    tier: fields.get('tier') ?? '',
    after: fields.getAll('after'),
    install: fields.get('install') ?? '',
  };
}

function hashOf({ prefix, tier, after, install }) {
  const fields = new URLSearchParams();
  if (prefix) fields.set('prefix', prefix);
  if (tier) fields.set('tier', tier);
  for (const id of after) fields.append('after', id);
  if (install) fields.set('install', install);
  return `#${fields}`;
}

export function linkTo(install) {
  return hashOf({ ...place, install });
}

function go(changes, { replace = false } = {}) {
  const hash = hashOf({ ...place, ...changes });
  history[replace ? 'replaceState' : 'pushState'](null, '', hash);
  follow();
}

const listOf = (somewhere) => hashOf({ ...somewhere, install: '' });

// Shows the state in the hash.
export function follow() {
  const next = placeIn(location.hash);
  const listStays = listOf(next) === listOf(place);
  place = next;
  if (byId('content').hidden) return;
  if (byId('prefix').value !== place.prefix) byId('prefix').value = place.prefix;
  showTiers();
  if (!listStays || !listed) loadList();
  open(place.install);
}

export function forget() {
  quota = null;
  listed = null;
  for (const id of ['installs', 'pages', 'list-empty']) byId(id).hidden = true;
  byId('installs').tBodies[0].replaceChildren();
  byId('list-loading').hidden = false;
  open('');
}

// --- The quota

let quota = null;

async function askQuota() {
  quota = await ask('/v1/quota');
  showTiers();
}

// A tier that left the quota can still be searched for.
function showTiers() {
  const tiers = new Set([...Object.keys(quota ?? {}), place.tier]);
  tiers.delete('');
  fill(byId('tier'), ['', ...tiers], {
    key: (tier) => tier,
    create: (tier) => make('option', { value: tier }, tier || 'All tiers'),
    update: () => {},
  });
  byId('tier').value = place.tier;
}

// The usage of the install's capped counter and its Gemini part, and their caps; null means no cap.
function useOf(install) {
  const tier = Object.hasOwn(quota, install.tier_snapshot) ? quota[install.tier_snapshot] : quota.core;
  return install.balance.capped === 'lifetime'
    ? { used: install.lifetime_consumed, cap: tier.lifetime ?? null,
        geminiUsed: install.lifetime_gemini_consumed, geminiCap: tier.geminiCapLifetime ?? null }
    : { used: install.monthly_consumed, cap: tier.monthly ?? null,
        geminiUsed: install.monthly_gemini_consumed, geminiCap: tier.geminiCapMonthly ?? null };
}

// --- The list

let listed = null; // the current page
let loads = 0;
let loading = false;

async function loadList({ quiet = false } = {}) {
  const mine = ++loads;
  const fields = new URLSearchParams({ limit: INSTALLS_LIMIT });
  if (place.prefix) fields.set('prefix', place.prefix);
  if (place.tier) fields.set('tier', place.tier);
  if (place.after.length) fields.set('after', place.after.at(-1));
  loading = true;
  byId('installs').setAttribute('aria-busy', !quiet);
  try {
    const [page] = await Promise.all([ask(`/v1/installs?${fields}`), askQuota()]);
    if (mine !== loads) return;
    listed = page;
    showList();
    if (!quiet) announce(sayList());
  } catch (refusal) {
    if (mine !== loads || refusal.ended || quiet) return;
    setNotice(byId('list-problem'), `The installs cannot be listed. ${refusal.message}`);
    for (const id of ['installs', 'pages', 'list-empty', 'list-loading']) byId(id).hidden = true;
  } finally {
    if (mine === loads) {
      loading = false;
      byId('installs').setAttribute('aria-busy', false);
    }
  }
}

// On failure the current list stays: the page reports that the server is silent.
export async function refreshList() {
  if (!loading) await loadList({ quiet: true });
}

function sayList() {
  const { installs, next_after: more } = listed;
  if (installs.length === 0) return 'No installs found';
  return `Page ${place.after.length + 1}, ${plural(installs.length, 'install')}${more ? ', more follow' : ''}`;
}

function showList() {
  const { installs, next_after: more } = listed;
  setNotice(byId('list-problem'), '');
  byId('list-loading').hidden = true;
  byId('installs').hidden = installs.length === 0;
  fill(byId('installs').tBodies[0], installs, {
    key: (install) => install.install_id,
    create: makeInstallRow,
    update: showInstallRow,
  });
  showEmptyList();
  byId('pages').hidden = !more && place.after.length === 0;
  setText(byId('page-number'), `Page ${place.after.length + 1}`);
  for (const id of ['first', 'previous']) byId(id).setAttribute('aria-disabled', place.after.length === 0);
  byId('next').setAttribute('aria-disabled', !more);
}

function makeInstallRow({ install_id: id }) {
  return make('tr', {},
    make('th', { scope: 'row' }, make('a', {}, id)),
    make('td'),
    make('td', { className: 'number' }, make('span'), makeBar()),
    make('td', { className: 'number wide' }),
    make('td', { className: 'number wide' }),
    make('td', { className: 'number widest' }));
}

function showInstallRow(row, install) {
  const [name, tier, left, geminiLeft, held, lastActive] = row.cells;
  const { used, cap, geminiCap } = useOf(install);
  const { balance } = install;
  name.firstChild.href = linkTo(install.install_id);
  setText(tier, install.tier_snapshot);
  setText(left.firstChild, leftOf(balance.remaining, cap));
  setBar(left.lastChild, { used, cap, held: Math.max(0, (cap ?? 0) - used - (balance.remaining ?? 0)) });
  setText(geminiLeft, leftOf(balance.gemini_remaining, geminiCap));
  setText(held, count(balance.held));
  setText(lastActive, time(install.last_active_at));
}

function leftOf(left, cap) {
  return left === null ? 'no cap' : `${count(left)} of ${count(cap)}`;
}

function showEmptyList() {
  const searched = place.prefix !== '' || place.tier !== '';
  const [text, button] = byId('list-empty').children;
  byId('list-empty').hidden = listed.installs.length > 0;
  button.hidden = !searched;
  if (!searched) {
    setText(text, place.after.length ? 'No further installs.'
      : 'No installs yet. A relay’s first request for an install creates it.');
    return;
  }
  setText(text, `No install${place.tier && ` of tier “${place.tier}”`}`
    + `${place.prefix && ` has an id that begins with “${place.prefix}”`}.`);
}

// A click anywhere in the row opens its install; the link is for the keyboard and for new tabs.
byId('installs').tBodies[0].addEventListener('click', (event) => {
  if (event.target.closest('a') || String(getSelection())) return;
  event.target.closest('tr').querySelector('a').click();
});

// Going back undoes a whole word, not its last letter.
let typing = false;
let typed;
byId('prefix').addEventListener('input', () => {
  clearTimeout(typed);
  typed = setTimeout(search, TYPING_MS);
});
byId('prefix').addEventListener('blur', () => { typing = false; });

function search() {
  clearTimeout(typed);
  const prefix = byId('prefix').value.trim();
  if (prefix === place.prefix) return;
  go({ prefix, after: [] }, { replace: typing });
  typing = true;
}

byId('search').addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});

byId('tier').addEventListener('change', () => go({ tier: byId('tier').value, after: [] }));

byId('list-empty').querySelector('button').addEventListener('click', () => {
  go({ prefix: '', tier: '', after: [] });
  byId('prefix').focus();
});

function turn(button, after) {
  byId(button).addEventListener('click', () => {
    if (byId(button).getAttribute('aria-disabled') !== 'true') go({ after: after() });
  });
}
turn('first', () => []);
turn('previous', () => place.after.slice(0, -1));
turn('next', () => [...place.after, listed.next_after]);

// --- The open install

const dialog = byId('install');
let opened = null; // { id, install, actor, entries, before }

function open(id) {
  if (id === (opened?.id ?? '')) return;
  opened = id ? { id, install: null, actor: null, entries: [], before: null } : null;
  document.title = id ? `${id} · creditsd` : 'creditsd';
  if (!opened) {
    dialog.close();
    return;
  }
  setText(byId('install-id'), id);
  byId('install-loading').hidden = false;
  byId('install-content').hidden = true;
  setNotice(byId('install-problem'), '');
  setNotice(byId('history-problem'), '');
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId('install-id').focus();
  look(opened);
}

function leave() {
  if (opened) go({ install: '' });
}

byId('close').addEventListener('click', leave);
dialog.addEventListener('cancel', leave);
dialog.addEventListener('close', () => { // delayed: the dialog may be open again
  if (!dialog.open) leave();
});

export const refreshOpened = oneAtATime(async () => {
  if (opened) await look(opened);
});

const pathOf = (id) => `/v1/installs/${encodeURIComponent(id)}`;

// None of these requests wakes the install's actor.
async function look(mine) {
  try {
    const page = await ask(`/v1/installs?${new URLSearchParams({ prefix: mine.id, limit: 1 })}`);
    const install = page.installs.find((found) => found.install_id === mine.id);
    if (mine !== opened) return;
    if (!install) {
      showNoInstall('The ledger has no install with this id.');
      return;
    }
    const changed = install.version !== mine.entries[0]?.version;
    const [actor, newest] = await Promise.all([
      ask(`${pathOf(mine.id)}/actor`),
      changed ? ask(`${pathOf(mine.id)}/entries?limit=${ENTRIES_LIMIT}`) : null,
      quota ?? askQuota(),
    ]);
    if (mine !== opened) return;
    Object.assign(mine, { install, actor });
    if (newest) takeNewest(mine, newest);
    showInstall(mine);
  } catch (refusal) {
    if (mine !== opened || refusal.ended) return;
    if (mine.install) setNotice(byId('install-problem'), `This is not up to date. ${refusal.message}`);
    else showNoInstall(`The install cannot be shown. ${refusal.message}`);
  }
}

function showNoInstall(problem) {
  byId('install-loading').hidden = true;
  byId('install-content').hidden = true;
  setNotice(byId('install-problem'), problem);
}

// Keeps older entries if the newest page reaches them.
function takeNewest(mine, { entries, next_before: before }) {
  const oldest = entries.at(-1)?.version ?? 0;
  if (mine.entries.length > 0 && mine.entries[0].version >= oldest - 1) {
    mine.entries = [...entries, ...mine.entries.filter(({ version }) => version < oldest)];
    const most = mine.wantsOlder ? ENTRIES_MAX : ENTRIES_LIMIT;
    if (mine.entries.length > most) {
      mine.entries.length = most;
      mine.before = mine.entries.at(-1).version;
    }
  } else {
    mine.entries = entries;
    mine.before = before;
  }
}

function showInstall(mine) {
  byId('install-loading').hidden = true;
  byId('install-content').hidden = false;
  setNotice(byId('install-problem'), '');
  const { install, actor } = mine;
  const judged = Object.hasOwn(quota, install.tier_snapshot) ? '' : ', not in the quota: judged as core';
  setText(byId('install-summary'), `Tier ${install.tier_snapshot}${judged} · version ${count(install.version)}`
    + ` · last active ${time(install.last_active_at)} UTC`);
  showBalance(install, actor.reservations);
  showCounters(install);
  showActor(actor);
  showReservations(actor.reservations);
  showHistory(mine);
}

function showBalance(install, reservations) {
  const { used, cap, geminiUsed, geminiCap } = useOf(install);
  const { capped, remaining, gemini_remaining: geminiRemaining } = install.balance;
  const onCounter = reservations.filter(({ counter, month }) =>
    counter === capped && (capped === 'lifetime' || month === install.month));
  const heldBy = (some) => some.reduce((sum, { credits }) => sum + credits, 0);
  const when = capped === 'lifetime' ? 'lifetime' : install.month;
  fill(byId('balance'), [
    { name: 'Credits', used, cap, left: remaining, held: heldBy(onCounter) },
    { name: 'Gemini', used: geminiUsed, cap: geminiCap, left: geminiRemaining,
      held: heldBy(onCounter.filter(({ backend }) => backend === 'gemini')) },
  ], {
    key: ({ name }) => name,
    create: () => make('div', {}, make('h4'), make('p'), makeBar()),
    update: (row, { name, left, ...use }) => {
      setText(row.children[0], `${name}, ${when}`);
      setText(row.children[1], `${count(use.used)} used · ${count(use.held)} held · `
        + (use.cap === null ? 'no cap' : `${count(left)} left of ${count(use.cap)}`)
        + (use.cap !== null && use.used > use.cap ? ` · ${count(use.used - use.cap)} over` : ''));
      setBar(row.children[2], use);
    },
  });
}

function showCounters(install) {
  fillFacts(byId('counters'), [
    ['Lifetime', count(install.lifetime_consumed), `${count(install.lifetime_gemini_consumed)} Gemini`],
    ['This month', count(install.monthly_consumed),
     `${count(install.monthly_gemini_consumed)} Gemini, ${install.month}`],
    ['Held', count(install.balance.held), 'by all reservations'],
  ]);
}

function showActor(actor) {
  fillFacts(byId('actor'), [
    ['State', actor.live ? 'live' : 'cold', actor.live ? '' : 'in the store only'],
    ['Messages handled', count(actor.messages_handled)],
    ['Mailbox', count(actor.mailbox_depth)],
    ['Pending writes', count(actor.pending_writes)],
    ['Spawned (UTC)', time(actor.spawned_at)],
    ['Last message (UTC)', time(actor.last_message_at)],
  ]);
}

function showReservations(reservations) {
  byId('reservations').hidden = reservations.length === 0;
  byId('reservations-empty').hidden = reservations.length > 0;
  fill(byId('reservations').tBodies[0], reservations, {
    key: ({ reservation_id: id }) => id,
    create: ({ reservation_id: id, tier, backend, counter, month, credits, expires_at: ends }) => make('tr', {},
      make('th', { scope: 'row' }, make('code', {}, id),
        make('small', {}, `${tier} · ${backend} · ${counterOf(counter, month)}`)),
      make('td', {}, time(ends), make('small')),
      make('td', { className: 'number' }, count(credits))),
    update: (row, { expires_at: ends }) => {
      setText(row.cells[1].lastChild, `in ${duration((Date.parse(ends) - Date.now()) / 1000)}`);
    },
  });
}

function counterOf(counter, month) {
  return counter === 'monthly' ? `month ${month}` : counter;
}

function showHistory({ entries, before }) {
  fill(byId('history').tBodies[0], entries, {
    key: ({ version, at }) => `${version} ${at}`,
    create: makeEntryRow,
    update: () => {},
  });
  byId('older').hidden = before === null;
  byId('history-end').hidden = before !== null;
  setText(byId('history-end'), entries.at(-1)?.version === 1
    ? 'This is the whole history.' : 'Older entries have been pruned.');
}

function makeEntryRow(entry) {
  const what = [entry.tier, entry.backend, entry.counter && counterOf(entry.counter, entry.month)];
  const ids = [['key', entry.idempotency_key], ['reservation', entry.reservation_id]];
  return make('tr', {},
    make('td', { className: 'number' }, count(entry.version)),
    make('th', { scope: 'row' }, entry.kind,
      make('small', {}, what.filter(Boolean).join(' · ')),
      ...ids.filter(([, id]) => id).map(([name, id]) => make('small', {}, `${name} `, make('code', {}, id)))),
    make('td', {}, time(entry.at)),
    make('td', { className: 'number' }, count(entry.credits)));
}

byId('older').addEventListener('click', oneAtATime(async () => {
  const mine = opened;
  try {
    const page = await ask(`${pathOf(mine.id)}/entries?limit=${ENTRIES_LIMIT}&before=${mine.before}`);
    if (mine !== opened) return;
    mine.wantsOlder = true;
    mine.entries = [...mine.entries, ...page.entries];
    mine.before = page.next_before;
    setNotice(byId('history-problem'), '');
    showHistory(mine);
    announceOlder(page.entries.length);
  } catch (refusal) {
    if (mine !== opened || refusal.ended) return;
    setNotice(byId('history-problem'), `Older entries cannot be shown. ${refusal.message}`);
  }
}));

// The button disappears with the last page; move the focus first.
function announceOlder(entries) {
  announce(plural(entries, 'older entry', 'older entries'));
  if (byId('older').hidden) byId('history-end').focus();
}

addEventListener('hashchange', follow);
