// The page without answers from the server, on a phone, and in the dark.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, pathOf, ready, row, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

test('a server that stops is reported with the age of the figures, and the page recovers', async () => {
  const creditsd = await server();
  await creditsd.commit('a');
  const page = await open(creditsd, { refusals: true });
  await ready(page);
  await page.getByRole('status').filter({ hasText: 'Page 1, 1 install' }).waitFor();

  await creditsd.stop();
  await page.getByText(/The server cannot be reached\. The figures are \d+ s old\./).waitFor();
  await page.getByRole('status').filter({ hasText: 'The figures are not live' }).waitFor();
  assert.equal(await page.locator('#pulse').innerText(), 'Not live');
  await screenshot(page, 'no-answer');

  await creditsd.run();
  await page.locator('#silence').waitFor({ state: 'hidden' });
  assert.equal(await page.locator('#pulse').innerText(), 'Live');
});

test('an install opened without a server appears once the server is up', async () => {
  const creditsd = await server();
  await creditsd.commit('a');
  const page = await open(creditsd, { refusals: true });
  await ready(page);
  await creditsd.stop();
  await page.locator('#installs a').click();
  await page.getByText('The install cannot be shown. The server cannot be reached.').waitFor();
  await creditsd.run();
  await page.locator('#install-content').waitFor();

  await creditsd.stop();
  await page.getByText('This is not up to date. The server cannot be reached.').waitFor();
  assert.equal(await page.locator('#install-content').isVisible(), true);
});

test('a page without any answer says so, and recovers by itself', async () => {
  const creditsd = await server();
  const page = await open(creditsd, { refusals: true, hash: '#prefix=a' });
  await ready(page);
  await page.route('**/v1/stats', (route) => route.fulfill({
    status: 503, contentType: 'application/problem+json',
    json: { status: 503, code: 'overloaded', detail: 'too many requests are in flight' },
  }));
  await page.reload();
  await page.getByRole('heading', { name: 'No figures from the server' }).waitFor();
  await page.getByText('too many requests are in flight (503 overloaded).').waitFor();
  await screenshot(page, 'failure');
  await page.unroute('**/v1/stats');
  await ready(page);
  assert.equal(await page.getByLabel('Id begins with').inputValue(), 'a');
});

test('a list that fails to load says why, and is retried', async () => {
  const creditsd = await server();
  await creditsd.commit('abc');
  const page = await open(creditsd, { refusals: true });
  await ready(page);
  await page.route('**/v1/installs?*', (route) => route.abort());
  await page.getByLabel('Id begins with').fill('ab');
  await page.getByText('The installs cannot be listed. The server cannot be reached.').waitFor();
  await page.unroute('**/v1/installs?*');
  await page.locator('#installs a').getByText('abc').waitFor();
  assert.equal(await page.locator('#list-problem').isVisible(), false);
});

const LONG = `${'w'.repeat(60)}/${'a-long-id-'.repeat(6)}`;

for (const colorScheme of ['light', 'dark']) {
  test(`on a phone nothing is wider than the screen, ${colorScheme}`, async () => {
    const creditsd = await server({ tokens: true, rows: [row(LONG), row('short', { tier_snapshot: 'max' })] });
    await creditsd.commit(LONG, { credits: 12 });
    await creditsd.call('POST', `${pathOf(LONG)}/reservations`, { credits: 5 });
    const options = { viewport: { width: 375, height: 812 }, colorScheme, refusals: true };
    const fits = async (page, selector) => assert.ok(
      await page.locator(selector).evaluate((box) => box.scrollWidth <= box.clientWidth), `${selector} fits`);

    const stranger = await open(creditsd, { ...options, token: '' });
    await stranger.locator('#sign-in').waitFor();
    await fits(stranger, 'html');
    await screenshot(stranger, `phone-signed-out-${colorScheme}`);

    const page = await open(creditsd, options);
    await ready(page);
    await fits(page, 'html');
    await screenshot(page, `phone-${colorScheme}`);
    await page.locator('#installs-title').scrollIntoViewIfNeeded();
    await page.locator('#installs a').last().scrollIntoViewIfNeeded();
    await screenshot(page, `phone-list-${colorScheme}`);
    await page.locator('#installs a').getByText(LONG).click();
    await page.locator('#install-content').waitFor();
    await fits(page, '#install');
    await fits(page, 'html');
    await screenshot(page, `phone-install-${colorScheme}`);
  });
}

// The contrast of every visible text with its background, by WCAG 2.
function lowContrast() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const faults = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('.unseen')) continue;
    const [lighter, darker] = [rgba(getComputedStyle(element).color), behind(element)]
      .map(luminance).sort((a, b) => b - a);
    const ratio = (lighter + 0.05) / (darker + 0.05);
    if (ratio < 4.5) faults.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return faults;
}

for (const colorScheme of ['light', 'dark']) {
  test(`every text can be read, ${colorScheme}`, async () => {
    const creditsd = await server({ rows: Array.from({ length: 60 }, (_, n) => row(`phone-${n}`)) });
    await creditsd.commit('phone-1', { credits: 120, backend: 'hardware' });
    const page = await open(creditsd, { colorScheme });
    await ready(page);
    await page.getByText('Page 1', { exact: true }).waitFor();
    await page.evaluate(() => {
      for (const id of ['trouble', 'silence', 'list-problem']) {
        document.getElementById(id).hidden = false;
        document.getElementById(id).textContent ||= 'A text of this place';
      }
    });
    assert.deepEqual(await page.evaluate(lowContrast), []);
    await eventually(async () => {
      // The list may have been redrawn during the click.
      if (await page.locator('dialog[open]').count() === 0) await page.locator('#hottest a').click();
      return page.locator('#install-content').isVisible();
    }, 'the install');
    assert.deepEqual(await page.evaluate(lowContrast), []);
    await page.keyboard.press('Escape');
    await eventually(async () => await page.locator('#pulse').innerText() === 'Live', 'an answer');
  });
}
