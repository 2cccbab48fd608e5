// A ledger of 100,000 installs: the page shows its size, and holds no more of it than one page.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, ready, row, rowsOf, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

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
