// A stand-in for the old module, so that the example runs without it: the same functions over the same file.

import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

export { computeRemaining, planBackend } from '../lib/rules.js';

let file;
let rows = {};
let saved = Promise.resolve();

const thisMonth = () => new Date().toISOString().slice(0, 7);

function save() {
  saved = saved.then(async () => {
    await writeFile(`${file}.new`, JSON.stringify({ rows }));
    await rename(`${file}.new`, file);
  });
  return saved;
}

export async function initCredits({ dataDir }) {
  file = path.join(dataDir, 'credits.json');
  rows = JSON.parse(await readFile(file, 'utf8').catch(() => '{"rows":{}}')).rows;
}

export async function getOrCreateRow(installId) {
  rows[installId] ??= {
    install_id: installId, tier_snapshot: 'core', lifetime_consumed: 0, lifetime_gemini_consumed: 0,
    month: thisMonth(), monthly_consumed: 0, monthly_gemini_consumed: 0, last_active_at: new Date().toISOString(),
  };
  const row = rows[installId];
  if (row.month !== thisMonth()) {
    Object.assign(row, { month: thisMonth(), monthly_consumed: 0, monthly_gemini_consumed: 0 });
  }
  await save();
  return row;
}

export async function commitCredit(installId, { backend, tier }) {
  const row = await getOrCreateRow(installId);
  const budget = tier === 'core' ? 'lifetime' : 'monthly';
  row[`${budget}_consumed`] += 1;
  if (backend === 'gemini') row[`${budget}_gemini_consumed`] += 1;
  row.tier_snapshot = tier;
  row.last_active_at = new Date().toISOString();
  await save();
}

export const snapshotAll = () => Object.values(rows).map((row) => ({ ...row }));
