// The open install: its balance, reservations and history, whatever its id is.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, ready, row, rowsOf, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

async function opened(page, id) {
  await page.getByRole('dialog').locator('#install-content').waitFor();
  assert.equal(await page.locator('#install-id').innerText(), id);
}

const balance = (page) => page.locator('#balance p').allInnerTexts();
const widths = (page, bar) => page.locator('#balance .bar').nth(bar).locator('span')
  .evaluateAll((parts) => parts.map((part) => part.style.width));

async function facts(page, list) {
  const pairs = await page.locator(`${list} > div`).evaluateAll((rows) =>
    rows.map((each) => [each.children[0].innerText, each.children[1].innerText]));
  return Object.fromEntries(pairs);
}

test('an install opens by a click and closes, and the browser’s buttons do the same', async () => {
  const creditsd = await server();
  for (const id of ['a', 'b']) await creditsd.commit(id);
  const page = await open(creditsd);
  await ready(page);
  await page.locator('#installs tbody tr').nth(1).click();
  await opened(page, 'b');
  assert.equal(await page.title(), 'b · creditsd');
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await page.goBack();
  await opened(page, 'b');
  await page.reload();
  await opened(page, 'b');
  await page.goBack();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.equal(await page.title(), 'creditsd');
});

test('the keyboard alone opens an install, and the focus returns', async () => {
  const creditsd = await server();
  for (const id of ['a', 'b']) await creditsd.commit(id);
  const page = await open(creditsd);
  await ready(page);
  const focused = () => page.evaluate(() => document.activeElement.innerText || document.activeElement.id);
  await page.getByLabel('Tier').focus();
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'a');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await opened(page, 'b');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'install-id');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Close');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.equal(await focused(), 'b');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await opened(page, 'a');
});

test('bars and numbers match the API, and follow its changes', async () => {
  const creditsd = await server();
  await creditsd.commit('a', { credits: 20 });
  await creditsd.commit('a', { credits: 10, backend: 'hardware' });
  const held = await creditsd.call('POST', '/v1/installs/a/reservations', { credits: 5 });
  const page = await open(creditsd, { hash: '#install=a' });
  await opened(page, 'a');
  assert.deepEqual(await balance(page),
    ['30 used · 5 held · 65 left of 100', '20 used · 5 held · 25 left of 50']);
  assert.deepEqual(await widths(page, 0), ['30%', '5%', '0%']);
  assert.deepEqual(await widths(page, 1), ['40%', '10%', '0%']);
  assert.equal((await facts(page, '#counters')).Held, '5');
  const actor = await creditsd.call('GET', '/v1/installs/a/actor');
  const state = await facts(page, '#actor');
  assert.equal(state.State, 'live');
  assert.equal(state['Messages handled'], String(actor.messages_handled));
  const [[reservation, ends, credits]] = await rowsOf(page, '#reservations');
  assert.ok(reservation.startsWith(held.reservation_id));
  assert.ok(reservation.endsWith('core · gemini · lifetime'));
  assert.ok(ends.startsWith(held.expires_at.slice(0, 19).replace('T', ' ')));
  assert.equal(credits, '5');
  await screenshot(page, 'install');

  await creditsd.call('POST', `/v1/installs/a/reservations/${held.reservation_id}/commit`, { credits: 2 });
  await page.getByText('No live reservations.').waitFor();
  assert.deepEqual(await balance(page),
    ['32 used · 0 held · 68 left of 100', '22 used · 0 held · 28 left of 50']);
  const [[version, what, , settled]] = await rowsOf(page, '#history');
  assert.deepEqual([version, settled], ['4', '2']);
  assert.ok(what.startsWith('settle'));
  assert.ok(what.endsWith(`reservation ${held.reservation_id}`));
});

test('a monthly cap, no cap, an exceeded cap, and a tier not in the quota', async () => {
  const rows = [row('gone', { tier_snapshot: 'gold', lifetime_consumed: 10 })];
  const creditsd = await server({ rows });
  await creditsd.commit('month', { tier: 'pro', credits: 250 });
  await creditsd.commit('endless', { tier: 'max', credits: 7 });
  await creditsd.commit('over', { credits: 125, backend: 'hardware' });
  const page = await open(creditsd);
  await ready(page);
  const month = (await creditsd.call('GET', '/v1/installs/month')).month;
  for (const [id, heading, text, bar] of [
    ['month', `Credits, ${month}`, '250 used · 0 held · 750 left of 1,000', ['25%', '0%', '0%']],
    ['endless', `Credits, ${month}`, '7 used · 0 held · no cap', ['0%', '0%', '0%']],
    ['over', 'Credits, lifetime', '125 used · 0 held · 0 left of 100 · 25 over', ['80%', '0%', '20%']],
    ['gone', 'Credits, lifetime', '10 used · 0 held · 90 left of 100', ['10%', '0%', '0%']],
  ]) {
    await page.evaluate((hash) => { location.hash = hash; }, `install=${id}`);
    await page.locator('#install-summary').filter({ visible: true }).waitFor();
    await opened(page, id);
    assert.equal(await page.locator('#balance h4').first().innerText(), heading);
    assert.equal((await balance(page))[0], text);
    assert.deepEqual(await widths(page, 0), bar);
    if (id === 'over') await screenshot(page, 'overrun');
  }
  await page.getByText('Tier gold, not in the quota: judged as core').waitFor();
});

test('the history is read page by page, and shows new entries', async () => {
  const creditsd = await server();
  const commit = (n) => ({ op: 'commit', install_id: 'a', backend: 'gemini', tier: 'max', credits: n });
  await creditsd.call('POST', '/v1/batch', { operations: Array.from({ length: 120 }, (_, n) => commit(n + 1)) });
  const page = await open(creditsd, { hash: '#install=a' });
  await opened(page, 'a');
  const versions = async () => (await rowsOf(page, '#history')).map(([version]) => Number(version));
  const down = (from, to) => Array.from({ length: from - to + 1 }, (_, n) => from - n);
  const until = (from, to) => eventually(
    async () => JSON.stringify(await versions()) === JSON.stringify(down(from, to)), `versions ${from} to ${to}`);
  await until(120, 71);
  await page.getByRole('button', { name: 'Older' }).click();
  await until(120, 21);
  await creditsd.commit('a', { tier: 'max', credits: 500 });
  await until(121, 21);
  await page.getByRole('button', { name: 'Older' }).focus();
  await page.keyboard.press('Enter');
  await until(121, 1);
  await page.getByText('This is the whole history.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Older' }).isVisible(), false);
  assert.equal((await rowsOf(page, '#history'))[0][3], '500');
});

test('looking at an install does not wake its actor', async () => {
  const creditsd = await server({ rows: [row('asleep', { lifetime_consumed: 40 })] });
  const page = await open(creditsd, { hash: '#install=asleep' });
  await opened(page, 'asleep');
  assert.equal((await facts(page, '#actor')).State, 'cold');
  assert.equal((await creditsd.call('GET', '/v1/installs/asleep/actor')).live, false);
  assert.equal((await rowsOf(page, '#history')).length, 1);
});

test('an unknown id', async () => {
  const creditsd = await server();
  await creditsd.commit('phone-10');
  const page = await open(creditsd, { hash: '#install=phone-1' });
  for (const id of ['phone-1', '..', '.', 'x'.repeat(200), 'with space', '<b>']) {
    await page.evaluate((hash) => { location.hash = hash; }, String(new URLSearchParams({ install: id })));
    await page.locator('#install-id').filter({ hasText: id }).waitFor();
    await page.getByText('The ledger has no install with this id.').waitFor();
    assert.equal(await page.locator('#install-content').isVisible(), false);
  }
});

const ODD_IDS = [
  '<img/src=x/onerror=alert(1)>', '"><script>alert(1)</script>', '&lt;b&gt;&amp;', `it's"quoted"`,
  '100%', '%2e%2e', 'a/b/../c', '/', '...', '?x=1&install=b#y', 'a+b=c', '\\back\\', 'x'.repeat(128),
];

test('an id is text, whatever it contains', async () => {
  const creditsd = await server();
  for (const id of ODD_IDS) await creditsd.commit(id);
  const page = await open(creditsd);
  await ready(page);
  assert.deepEqual((await rowsOf(page, '#installs')).map(([id]) => id), [...ODD_IDS].sort());
  await page.locator('#hottest li').nth(ODD_IDS.length - 1).waitFor();
  assert.deepEqual((await page.locator('#hottest a').allInnerTexts()).sort(), [...ODD_IDS].sort());
  await screenshot(page, 'odd-ids');
  for (const id of ODD_IDS) {
    await page.locator('#installs a').getByText(id, { exact: true }).click();
    await opened(page, id);
    const [[, what]] = await rowsOf(page, '#history');
    assert.ok(what.startsWith('commit'));
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  }
  assert.equal(await page.locator('img, b:not(.key b), script:not([src]), [onerror]').count(), 0);
});

test('an id is found by any prefix', async () => {
  const creditsd = await server();
  for (const id of ODD_IDS) await creditsd.commit(id);
  const page = await open(creditsd);
  await ready(page);
  for (const id of ODD_IDS.slice(0, 6)) {
    await page.getByLabel('Id begins with').fill(id);
    await eventually(async () => (await rowsOf(page, '#installs'))[0]?.[0] === id, `finding ${id}`);
  }
});
