// Turns operations into requests. An operation is an item of /v1/batch: `op`, `install_id`, and the call's
// fields.

const SINGLE_CALLS = {
  create: () => ['PUT', ''],
  commit: () => ['POST', '/commit'],
  reserve: () => ['POST', '/reservations'],
  settle: (reservation) => ['POST', `/reservations/${reservation}/commit`],
  release: (reservation) => ['DELETE', `/reservations/${reservation}`],
};

export function singleRequest({ op, install_id, idempotency_key, reservation_id, ...fields }) {
  const [method, call] = SINGLE_CALLS[op](reservation_id && encodeURIComponent(reservation_id));
  const body = JSON.stringify(fields);
  return {
    method,
    path: `/v1/installs/${encodeURIComponent(install_id)}${call}`,
    headers: idempotency_key ? { 'Idempotency-Key': idempotency_key } : {},
    body: body === '{}' ? '' : body,
  };
}

export function batchRequest(operations) {
  return { method: 'POST', path: '/v1/batch', headers: {}, body: JSON.stringify({ operations }) };
}
