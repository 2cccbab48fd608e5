// A small AI relay. `credits` is the old module or the client, with the same interface.

import http from 'node:http';

// A real relay asks Gemini, or a model on its own hardware.
const BACKENDS = {
  gemini: async (prompt) => `Gemini thinks about ${prompt}`,
  hardware: async (prompt) => `Your own hardware thinks about ${prompt}`,
};

async function answer(credits, { quota, hasHardware }, { install_id: id, tier, prompt }) {
  const row = await credits.getOrCreateRow(id);
  const plan = credits.planBackend({ ...row, tier_snapshot: tier }, quota, { hasHardware });
  if (!plan.allowed) return [402, { reason: plan.reason }];
  const text = await BACKENDS[plan.backend](prompt);
  await credits.commitCredit(id, { backend: plan.backend, tier });
  return [200, { text, backend: plan.backend }];
}

async function handle(credits, options, request) {
  if (request.url === '/admin/installs') return [200, await credits.snapshotAll()];
  if (request.url !== '/answer' || request.method !== 'POST') return [404, { reason: 'there is only POST /answer' }];
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return answer(credits, options, JSON.parse(Buffer.concat(chunks)));
}

export function serve(credits, options) {
  const server = http.createServer(async (request, response) => {
    const [status, body] = await handle(credits, options, request).catch((error) => [503, { reason: error.message }]);
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(options.port, '127.0.0.1', () => {
    console.log(`relay on http://127.0.0.1:${server.address().port}`);
  });
}
