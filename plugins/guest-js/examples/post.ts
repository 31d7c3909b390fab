import type { Epoch, Row, Setting } from "braid";

type Sent = { url: string; headers: { [name: string]: string }; rows: Row[] };

// The service drops requests whose key it has seen: an epoch that comes again has the effect of one.
export const idempotent = true;

export function describe({ options }: Setting): void {
  if (!options.url) throw "needs the option `url`";
  http.granted(options.url);
}

export function open({ name, options }: Setting, epoch: Epoch): Sent {
  const headers = { "braid-sink": name, "braid-epoch": `${epoch.number}`, "idempotency-key": `${name}-${epoch.key}` };
  return { url: options.url!, headers, rows: [] };
}

export function process(row: Row, sent: Sent): void {
  sent.rows.push(row);
}

export function close(sent: Sent, error: string | null): void {
  if (error !== null) return;
  const { status } = http.post(sent.url, JSON.stringify({ rows: sent.rows }), sent.headers);
  if (status >= 300) throw `the service answers ${status}`;
}
