// The list of installs: pages, search, tiers, emptiness, the place in the URL, and 100,000 of them.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, ready, row, rowsOf, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

const TIERS = ['core', 'pro', 'max'];
const name = (n) => `${n % 2 ? 'tablet' : 'phone'}-${String(n).padStart(3, '0')}`;
const ROWS = Array.from({ length: 120 }, (_, n) => row(name(n), { tier_snapshot: TIERS[n % 3] }));
const idsOf = (rows) => rows.map((each) => each.install_id).sort();

const shown = async (page) => (await rowsOf(page, '#installs')).map(([id]) => id);
const until = (page, ids) => eventually(
  async () => JSON.stringify(await shown(page)) === JSON.stringify(ids), `the list of ${ids[0]}…`);
const button = (page, label) => page.getByRole('navigation').getByRole('button', { name: label });

test('pages turn forward and back, by mouse, by keyboard and by the browser', async () => {
  const page = await open(await server({ rows: ROWS }));
  await ready(page);
  const ids = idsOf(ROWS);
  const pages = [ids.slice(0, 50), ids.slice(50, 100), ids.slice(100)];
  await until(page, pages[0]);
  assert.equal(await button(page, 'Previous').getAttribute('aria-disabled'), 'true');

  await button(page, 'Next').click();
  await until(page, pages[1]);
  await page.keyboard.press('Enter'); // the button still has the focus
  await until(page, pages[2]);
  await page.getByText('Page 3', { exact: true }).waitFor();
  assert.equal(await button(page, 'Next').getAttribute('aria-disabled'), 'true');
  await page.reload();
  await until(page, pages[2]);
  await button(page, 'Previous').click();
  await until(page, pages[1]);
  await page.goBack();
  await until(page, pages[2]);
  await page.goBack();
  await until(page, pages[1]);
  await page.goForward();
  await until(page, pages[2]);
  await button(page, 'First').click();
  await until(page, pages[0]);

});

test('search by prefix and by tier, stored in the URL', async () => {
  const page = await open(await server({ rows: ROWS }));
  await ready(page);
  await page.getByLabel('Id begins with').pressSequentially('phone-1');
  const phones = ROWS.filter((each) => each.install_id.startsWith('phone-1'));
  await until(page, idsOf(phones));

  await page.getByLabel('Tier').selectOption('pro');
  const pro = idsOf(phones.filter((each) => each.tier_snapshot === 'pro'));
  await until(page, pro);
  await page.reload();
  await until(page, pro);
  assert.equal(await page.getByLabel('Id begins with').inputValue(), 'phone-1');
  assert.equal(await page.getByLabel('Tier').inputValue(), 'pro');

  await page.goBack();
  await until(page, idsOf(phones));
  await page.goBack(); // undoes the whole typed word
  await until(page, idsOf(ROWS).slice(0, 50));
  assert.equal(await page.getByLabel('Id begins with').inputValue(), '');
});

test('a search that finds nothing says so, and can be cleared', async () => {
  const page = await open(await server({ rows: ROWS.slice(0, 3) }));
  await ready(page);
  await page.getByLabel('Id begins with').fill('<b>nobody');
  await page.getByText('No install has an id that begins with “<b>nobody”.').waitFor();
  assert.equal(await page.locator('#installs').isVisible(), false);
  await screenshot(page, 'nothing-found');
  await page.getByRole('button', { name: 'Clear the search' }).click();
  await until(page, idsOf(ROWS.slice(0, 3)));
});

test('an empty ledger says so, and shows the first install when it comes', async () => {
  const creditsd = await server();
  const page = await open(creditsd);
  await ready(page);
  await page.getByText('No installs yet.').waitFor();
  await screenshot(page, 'empty');
  await creditsd.commit('phone-1');
  await until(page, ['phone-1']);
});

test('the list’s figures match the API', async () => {
  const creditsd = await server();
  await creditsd.commit('a', { credits: 30 });
  await creditsd.call('POST', '/v1/installs/a/reservations', { credits: 5 });
  await creditsd.commit('b', { tier: 'pro', credits: 1000, backend: 'hardware' });
  await creditsd.commit('c', { tier: 'max', credits: 7 });
  const page = await open(creditsd);
  await ready(page);
  const { installs } = await creditsd.call('GET', '/v1/installs');
  const times = installs.map((each) => each.last_active_at.slice(0, 19).replace('T', ' '));
  assert.deepEqual(await rowsOf(page, '#installs'), [
    ['a', 'core', '65 of 100', '15 of 50', '5', times[0]],
    ['b', 'pro', '0 of 1,000', '500 of 500', '0', times[1]],
    ['c', 'max', 'no cap', 'no cap', '0', times[2]],
  ]);
});

const INSTALLS = 100_000;
const NODES_MAX = 4000;

test('the list and the search answer over 100,000 installs', async () => {
  const id = (n) => `install-${String(n).padStart(6, '0')}`;
  const rows = Array.from({ length: INSTALLS }, (_, n) => row(id(n), {
    tier_snapshot: n % 1000 === 0 ? 'max' : 'core', lifetime_consumed: n % 100,
  }));
  const creditsd = await server({ rows });
  const page = await open(creditsd);
  await ready(page);
  const first = async () => (await rowsOf(page, '#installs'))[0]?.[0];
  const until = (n) => eventually(async () => await first() === id(n), `the sight of ${id(n)}`);
  await until(0);
  await page.locator('#figures').getByText('100,000', { exact: true }).waitFor();

  await page.getByLabel('Id begins with').pressSequentially('install-0999');
  await until(99_900);
  await page.getByRole('button', { name: 'Next' }).click();
  await until(99_950);
  await page.getByLabel('Id begins with').fill('');
  await until(0);
  await page.getByLabel('Tier').selectOption('max');
  await eventually(async () => (await rowsOf(page, '#installs'))[1]?.[0] === id(1000), 'the next of the tier');
  await page.getByRole('button', { name: 'Next' }).click();
  await until(50_000);
  await page.locator('#installs a').first().click();
  await page.locator('#install-content').waitFor();
  await screenshot(page, 'large');
  const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
  assert.ok(nodes < NODES_MAX, `${nodes} elements`);
});
