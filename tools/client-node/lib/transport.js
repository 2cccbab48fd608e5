// Sends requests over at most `connections` keep-alive connections, one request at a time on each.

import http from 'node:http';
import https from 'node:https';

// How long an idle connection is kept, unless the server announces less. Servers keep it longer, so that none closes it
// just as a request is sent. An Agent without its own limit ignores the server's announcement.
const IDLE_MS = 30_000;

function parseUrl(text) {
  if (text === undefined) throw new TypeError('url is needed: the address of the server, such as http://127.0.0.1:8787');
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`url must be one like http://127.0.0.1:8787, not ${JSON.stringify(text)}`);
  }
  if (!['http:', 'https:'].includes(url.protocol) || url.username || url.search || url.hash) {
    throw new TypeError('url must be http:// or https:// with a host, perhaps a port and a path, and nothing else:'
      + ` not ${JSON.stringify(text)}`);
  }
  return url;
}

// Reads seconds or a date (RFC 9110, 10.2.3). Returns milliseconds; 0 if the header is missing or invalid.
function retryAfterOf(headers) {
  const text = headers['retry-after'] ?? '';
  const ms = /^\d+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now();
  return ms > 0 ? ms : 0;
}

async function bodyOf(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  if (!/^application\/(problem\+)?json\b/.test(response.headers['content-type'] ?? '')) return undefined;
  return JSON.parse(text);
}

export class Transport {
  #url;
  #module;
  #agent;

  // `tls` has options for https.Agent, such as `ca`.
  constructor({ url, connections, tls }) {
    this.#url = parseUrl(url);
    if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
      throw new TypeError("tls must be an object with options of Node's https.Agent, such as { ca }");
    }
    this.#module = this.#url.protocol === 'https:' ? https : http;
    this.#agent = new this.#module.Agent({ keepAlive: true, maxSockets: connections, timeout: IDLE_MS, ...tls });
  }

  // Returns the answer, whatever its status: {status, body, isReplayed, retryAfterMs}; body only if it is JSON. Throws
  // if there is no answer.
  async send({ method, path, headers, body }, { token, timeoutMs }) {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const response = await new Promise((resolve, reject) => {
        const request = this.#module.request({
          method,
          protocol: this.#url.protocol,
          hostname: this.#url.hostname.replace(/^\[|\]$/g, ''),
          port: this.#url.port,
          path: this.#url.pathname.replace(/\/$/, '') + path,
          headers: {
            ...headers,
            ...(body && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
            ...(token && { Authorization: `Bearer ${token}` }),
          },
          agent: this.#agent,
          signal,
        }, resolve);
        request.on('error', reject);
        request.end(body);
      });
      const { statusCode: status, headers: received } = response;
      return {
        status,
        body: await bodyOf(response),
        isReplayed: received['idempotency-replayed'] === 'true',
        retryAfterMs: retryAfterOf(received),
      };
    } catch (error) {
      if (signal.aborted) throw new Error(`no answer in ${timeoutMs} ms`, { cause: error });
      throw error;
    }
  }

  close() {
    this.#agent.destroy();
  }
}
