const ASKS = {
  log: () => console.log("a line"),
  env: () => env("REGION"),
  clock: () => new Date(),
  random: () => Math.random(),
  uuid: () => crypto.randomUUID(),
  http: () => http.post("http://127.0.0.1:9/", ""),
};

export function map(row) {
  ASKS[row.wants]?.();
  return row;
}
