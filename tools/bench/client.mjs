// Measures commits/s of one Node process through tools/client-node, with calls sent one by one and with
// calls of a tick sent together:
//
//   node tools/bench/client.mjs http://127.0.0.1:8787 [SECONDS]

import { CreditsClient } from '../client-node/index.js';

const [url, seconds = '4'] = process.argv.slice(2);

async function measure(callers, batchMax) {
  const client = new CreditsClient({ url, batchMax });
  const end = performance.now() + 1000 * Number(seconds);
  const tookMs = [];
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    for (let n = 0; performance.now() < end; n++) {
      const began = performance.now();
      await client.commitCredit(`bench-${caller}-${n % 50}`, { backend: 'gemini', tier: 'core' });
      tookMs.push(performance.now() - began);
    }
  }));
  await client.close();
  tookMs.sort((a, b) => a - b);
  return { perSecond: Math.round(tookMs.length / Number(seconds)), p99: tookMs[Math.floor(0.99 * tookMs.length)] };
}

for (const callers of [1, 64, 1000]) {
  for (const batchMax of [1, 500]) {
    const { perSecond, p99 } = await measure(callers, batchMax);
    console.log(`${callers} callers, batches of at most ${batchMax}: ${perSecond} commits/s, p99 ${p99.toFixed(1)} ms`);
  }
}
