// Posts each row as JSON, with a key by which the service can drop what it has seen.
import type { Epoch, Row, Setting } from "braid";

type Sent = { url: string; headers: { [name: string]: string } };

// Asked once, when a deployment is planned: will these options do?
export function describe({ options }: Setting): void {
  if (!options.url) throw "needs the option `url`";
  http.granted(options.url);
}

// An epoch with rows begins. After a crash or an error it comes again, with the same number and the same rows.
export function open({ options }: Setting, epoch: Epoch): Sent {
  return { url: options.url!, headers: { "content-type": "application/json", "braid-epoch": epoch.key } };
}

export function process(row: Row, sent: Sent): void {
  const { status } = http.post(sent.url, JSON.stringify(row), sent.headers);
  if (status >= 300) throw `the service answers ${status}`;
}
