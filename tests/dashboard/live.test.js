// The live figures: they match the server's, they move, and how the page polls them.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, ready, rowsOf, screenshot, withBrowser } from './harness.js';

const { server, page: open } = withBrowser();

const tile = (page, name) => page.locator('#figures > div').filter({ has: page.getByText(name, { exact: true }) })
  .locator('.value').innerText();

async function operation(page, name) {
  return (await rowsOf(page, '#operations')).find(([first]) => first === name);
}

// The current text of a chart's key.
const keyOf = (page, chart, series) => page.getByRole('figure', { name: chart }).locator('.key')
  .filter({ hasText: series }).locator('b').innerText();

test('the figures follow the traffic and match the server’s', async () => {
  const creditsd = await server();
  const page = await open(creditsd);
  await ready(page);
  assert.equal(await page.locator('#hottest-empty').isVisible(), true);
  assert.deepEqual((await operation(page, 'commit')).slice(2), ['–', '–', '0', '0']);

  const commits = 60;
  let highest = 0;
  for (let n = 0; n < commits; n++) await creditsd.commit(`phone-${n % 6}`);
  await creditsd.call('POST', '/v1/batch', { operations: [{ op: 'plan', install_id: 'phone-0' }] });
  await eventually(async () => {
    const seen = (await operation(page, 'commit'))[4] === String(commits)
      && (await operation(page, 'batch'))[4] === '1';
    highest = Math.max(highest, Number(await keyOf(page, 'Requests', 'all')) || 0);
    return seen;
  }, 'the sight of all requests');
  assert.ok(highest > 2, `${highest} requests/s at most`);

  const stats = await creditsd.call('GET', '/v1/stats');
  await eventually(async () => await tile(page, 'Installs') === '6', 'the sight of all installs');
  assert.equal(await tile(page, 'Live actors'), String(stats.actors.live));
  const [, , p50, p99] = await operation(page, 'commit');
  assert.ok(Number(p50) > 0 && Number(p99) >= Number(p50), `commits took ${p50} and ${p99} ms`);
  for (const [chart, series] of [['Latency', 'p99'], ['Sync time', 'p50'], ['Sync time', 'p99'],
                                 ['Batch size', 'p99'], ['Live actors', 'live']]) {
    assert.ok(Number(await keyOf(page, chart, series)) > 0, `${chart}, ${series}`);
  }
});

test('an operation can be chosen for the charts', async () => {
  const creditsd = await server();
  await creditsd.commit('phone-1');
  const page = await open(creditsd);
  await ready(page);
  const commit = page.getByRole('button', { name: 'commit', exact: true });
  await commit.focus();
  await page.keyboard.press('Enter');
  assert.equal(await commit.getAttribute('aria-pressed'), 'true');
  await page.getByRole('heading', { name: 'Latency: commit' }).waitFor();
  const [, , , p99] = await operation(page, 'commit');
  assert.equal(await keyOf(page, 'Latency', 'p99'), p99);
  await page.getByRole('button', { name: 'all operations' }).click();
  await page.getByRole('heading', { name: 'Latency', exact: true }).waitFor();
});

test('the hottest installs are listed by heat, and open', async () => {
  const creditsd = await server();
  for (const [id, commits] of [['warm', 3], ['hot', 6], ['cool', 1]]) {
    for (let n = 0; n < commits; n++) await creditsd.commit(id);
  }
  const page = await open(creditsd);
  await ready(page);
  assert.deepEqual(await page.locator('#hottest a').allInnerTexts(), ['hot', 'warm', 'cool']);
  await page.locator('#hottest a').first().click();
  await page.getByRole('dialog', { name: 'hot' }).waitFor();
});

// Answers /v1/stats with the server's answer, changed.
function changeStats(page, change) {
  return page.route('**/v1/stats', async (route) => {
    const response = await route.fetch();
    const stats = await response.json();
    change(stats);
    await route.fulfill({ response, json: stats });
  });
}

test('trouble of the store shows a banner while it lasts', async () => {
  const page = await open(await server());
  await ready(page);
  let trouble = '<b>the disk</b> is full';
  await changeStats(page, (stats) => {
    stats.store.trouble = trouble;
    stats.persister.oldest_pending_ms = trouble ? 4000 : 0;
  });
  await page.getByRole('alert').filter({ hasText: 'rejects writes: <b>the disk</b> is full' }).waitFor();
  await page.locator('#figures .marked').filter({ hasText: 'Oldest pending write' }).waitFor();
  await screenshot(page, 'trouble');
  trouble = null;
  await page.locator('#trouble').waitFor({ state: 'hidden' });
});

test('a restarted server counts from 0 without a dent in the charts', async () => {
  const page = await open(await server());
  await ready(page);
  let restarted = false;
  await changeStats(page, (stats) => {
    if (restarted) stats.started_at = '2026-01-01T00:00:00.000Z';
    stats.requests.commit.count = restarted ? 1 : 5000;
  });
  await eventually(async () => (await operation(page, 'commit'))[4] === '5,000', 'the sight of many commits');
  restarted = true;
  await eventually(async () => (await operation(page, 'commit'))[4] === '1', 'the sight of the restart');
  assert.equal((await operation(page, 'commit'))[1], '–');
});

// The test controls the page's clock. `prepare` gets the page before its first request.
async function openWithClock(creditsd, prepare = () => {}) {
  const page = await open(creditsd);
  await prepare(page);
  await page.addInitScript(() => {
    Object.defineProperty(document, 'hidden', { get: () => window.testHides === true });
  });
  await page.clock.install();
  let polls = 0;
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/stats')) polls++;
  });
  await page.reload();
  await ready(page);
  return { page, polls: () => polls };
}

function hide(page, hidden) {
  return page.evaluate((hides) => {
    window.testHides = hides;
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
}

test('a hidden page sends no requests, and one at once when it is visible again', async () => {
  const { page, polls } = await openWithClock(await server());
  await hide(page, true);
  const before = polls();
  await page.clock.runFor(20_000);
  assert.equal(polls(), before);
  const asked = page.waitForRequest('**/v1/stats');
  await hide(page, false);
  await asked;
});

test('slow answers do not pile up, and the page shows the age of its figures', async () => {
  let holds = false;
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  let isHeld;
  const held = new Promise((resolve) => { isHeld = resolve; });
  const { page, polls } = await openWithClock(await server(), (opened) => (
    opened.route('**/v1/stats', async (route) => {
      if (holds) {
        isHeld();
        await released;
      }
      await route.continue();
    })));
  holds = true;
  await page.clock.runFor(1000);
  await held;
  const before = polls();
  await page.clock.runFor(9000);
  assert.equal(polls(), before);
  assert.match(await page.locator('#silence').innerText(),
    /^The server is slow to answer\. The figures are \d+ s old/);
  release();
  await page.locator('#silence').waitFor({ state: 'hidden' });
});

test('the charts follow the colour scheme and its changes', async () => {
  const page = await open(await server(), { colorScheme: 'light' });
  await ready(page);
  const colours = () => page.evaluate(() => {
    const { data, scales } = window.Chart.getChart(document.querySelector('canvas'));
    const key = getComputedStyle(document.querySelector('.key')).color;
    const { ticks, grid } = scales.y.options;
    return { line: data.datasets[0].borderColor, key, ink: ticks.color, grid: grid.color };
  });
  const light = await colours();
  assert.equal(light.line, light.key);
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await eventually(async () => {
    const now = await colours();
    return now.line !== light.line && now;
  }, 'the change of colours');
  assert.equal(dark.line, dark.key);
  assert.notEqual(dark.ink, light.ink);
  assert.notEqual(dark.grid, light.grid);
});
