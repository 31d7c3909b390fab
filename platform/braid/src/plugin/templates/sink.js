// Posts each row as JSON, with a key by which the service can drop what it has seen.

// Asked once, when a deployment is planned: will these options do?
export function describe({options}) {
  if (!options.url) throw "needs the option `url`";
  http.granted(options.url);
}

// An epoch with rows begins. After a crash or an error it comes again, with the same number and the same rows.
export function open({options}, epoch) {
  return {url: options.url, headers: {"content-type": "application/json", "braid-epoch": epoch.key}};
}

export function process(row, sent) {
  const {status} = http.post(sent.url, JSON.stringify(row), sent.headers);
  if (status >= 300) throw `the service answers ${status}`;
}
