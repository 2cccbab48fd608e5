// The real creditsd, behind a proxy that loses, delays or replaces answers on a test's command.

import { once } from 'node:events';
import http from 'node:http';
import { Server } from '../../../tests/creditsd.mjs';
import { CreditsClient } from '../index.js';

export { ADMIN, eventually, RELAY, row, Server } from '../../../tests/creditsd.mjs';

export class Proxy {
  requests = []; // {method, path, headers, body, at}
  connections = 0;
  // Decides what happens to a request: undefined passes it on; 'lose answer' passes it on and breaks the
  // connection; 'break' only breaks it; 'hang' never answers; an object is the answer: {status,
  // headers, body}; a function transforms the server's answer. Or a promise of one of these.
  script = () => undefined;

  static async before(server) {
    const proxy = new Proxy();
    proxy.target = server.url;
    proxy.http = http.createServer((request, response) => proxy.#answer(request, response));
    proxy.http.on('connection', () => { proxy.connections++; });
    proxy.http.listen(0, '127.0.0.1');
    await once(proxy.http, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.http.address().port}`;
    return proxy;
  }

  // The operations of the requests, from single calls and batches alike.
  operations() {
    return this.requests.map(({ path, body }) => (path === '/v1/batch' ? body.operations : [body]));
  }

  async #answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method, url: path, headers } = request;
    const seen = { method, path, headers, body: text && JSON.parse(text), at: performance.now() };
    this.requests.push(seen);
    const told = await this.script(seen, this.requests.length);
    if (told === 'hang') return;
    if (told === 'break') return request.socket.destroy();
    if (told && typeof told === 'object') return send(response, told);
    const { host, connection, ...passed } = headers;
    const got = await fetch(this.target + path, { method, headers: passed, body: text || undefined });
    if (told === 'lose answer') {
      await got.text();
      return request.socket.destroy();
    }
    const answer = { status: got.status, headers: Object.fromEntries(got.headers), body: await got.text() };
    send(response, typeof told === 'function' ? told(answer) : answer);
  }

  async close() {
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, 'close');
  }
}

function send(response, { status, headers = {}, body = '' }) {
  const { 'content-length': _, connection, 'keep-alive': __, ...kept } = headers;
  response.writeHead(status, kept).end(body);
}

export function problem(status, code, headers = {}) {
  return {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
    body: JSON.stringify({ type: `urn:x:${code}`, title: code, status, detail: `it is ${code}`, code }),
  };
}

// Stops everything that a test started, in reverse order.
export function starter(t) {
  const starts = async (made, end) => {
    t.after(end);
    return made;
  };
  return {
    server: async (options) => {
      const server = await Server.start(options);
      return starts(server, () => server.remove());
    },
    proxy: async (server) => {
      const proxy = await Proxy.before(server);
      return starts(proxy, () => proxy.close());
    },
    client: (options) => {
      const client = new CreditsClient({ timeoutMs: 20_000, attemptTimeoutMs: 10_000, ...options });
      return starts(client, () => client.close());
    },
  };
}
