// The interface of the old credits module, served by a ledger's server, with its additional functions.
//
// The functions share one client, which initCredits creates; a program that uses several ledgers creates
// a CreditsClient for each.

import { CreditsClient } from './lib/client.js';

export { CreditsClient } from './lib/client.js';
export { CreditsError, CreditsRefusedError, CreditsUnavailableError } from './lib/errors.js';
export { computeRemaining, planBackend } from './lib/rules.js';

let client = null;

function theClient() {
  if (!client) throw new Error('call initCredits({ url, token }) first');
  return client;
}

export async function initCredits(options) {
  const fresh = new CreditsClient(options);
  try {
    await fresh.check();
  } catch (error) {
    await fresh.close();
    throw new Error(`the credits service at ${options.url}: ${error.message}`, { cause: error });
  }
  const before = client;
  client = fresh;
  await before?.close();
}

export async function closeCredits() {
  const closing = client;
  client = null;
  await closing?.close();
}

export const getOrCreateRow = async (...given) => theClient().getOrCreateRow(...given);
export const commitCredit = async (...given) => theClient().commitCredit(...given);
export const reserve = async (...given) => theClient().reserve(...given);
export const settle = async (...given) => theClient().settle(...given);
export const release = async (...given) => theClient().release(...given);
export const withCredits = async (...given) => theClient().withCredits(...given);
export const snapshotAll = async () => theClient().snapshotAll();
