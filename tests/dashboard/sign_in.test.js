// Access to the page: refused and accepted tokens, and signing out.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import test from 'node:test';
import { ADMIN, ready, RELAY, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

async function enterToken(page, token) {
  await page.getByLabel('Admin token').fill(token);
  await page.keyboard.press('Enter');
}

const said = (page, text) => page.locator('#sign-in-problem').filter({ hasText: text }).waitFor();

test('only an admin’s token opens the page', async () => {
  const creditsd = await server({ tokens: true });
  const page = await open(creditsd, { refusals: true, token: '' });
  await page.locator('#sign-in').waitFor();
  assert.equal(await page.locator('#content').isVisible(), false);
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
  await screenshot(page, 'signed-out');

  await enterToken(page, 'a-token-that-nobody-has');
  await said(page, 'does not know this token');
  await enterToken(page, RELAY);
  await said(page, "not a relay's");
  await screenshot(page, 'relay-token');
  await enterToken(page, 'žeton');
  await said(page, 'printable ASCII');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);

  await enterToken(page, ADMIN);
  await ready(page);
  assert.equal(await page.locator('#sign-in').isVisible(), false);
});

test('a token survives a reload, but not signing out', async () => {
  const creditsd = await server({ tokens: true });
  await creditsd.commit('phone-1');
  const page = await open(creditsd, { refusals: true, token: '', hash: '#install=phone-1' });
  await enterToken(page, ADMIN);
  await page.getByRole('dialog', { name: 'phone-1' }).waitFor();
  await page.reload();
  await page.getByRole('dialog', { name: 'phone-1' }).waitFor();
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.locator('#sign-in').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.getByText('phone-1').count(), 0);
  assert.equal(new URL(page.url()).hash, '');
  await page.reload();
  await page.locator('#sign-in').waitFor();
});

test('a withdrawn token leads to the sign-in, and then back to the same place', async () => {
  const creditsd = await server({ tokens: true });
  await creditsd.commit('phone-1');
  const page = await open(creditsd, { refusals: true, hash: '#install=phone-1' });
  await page.locator('#install-content').waitFor();

  await creditsd.stop();
  writeFileSync(creditsd.file('admin'), 'another-token\n');
  await creditsd.run();
  await said(page, 'does not know this token');
  assert.equal(await page.getByRole('dialog').isVisible(), false);
  await enterToken(page, 'another-token');
  await page.getByRole('dialog', { name: 'phone-1' }).waitFor();
});

test('without token files nobody has to sign in', async () => {
  const page = await open(await server());
  await ready(page);
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).isVisible(), false);
});
