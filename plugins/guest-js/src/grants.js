// What the deployment grants the plugin.

const YAML = { http: 'http: ["https://api.example.com"]', log: "log: true", env: "env: {NAME: value}", clock: "clock: true", random: "random: true" };

let granted = [];

/** Says which grants there are. */
export const grant = (all) => (granted = all);

/** Whether this is granted. */
export const has = (one) => granted.includes(one);

/** Throws where this is not granted. */
export function must(one, what) {
  if (!has(one)) throw new Error(`${what} needs \`grants: {${YAML[one]}}\` of the plugin`);
}
