import type { Columns, Long, Made } from "braid";

const LIMIT: number = Number(env("LIMIT")!);
console.debug("loaded, with a limit of", LIMIT);
export const output = { id: "long", region: "string", none: "string" } as const satisfies Columns;

export function map({ id }: { id: Long }): Made<typeof output> | null {
  if (id > LIMIT) return null;
  console.warn("row", id);
  return { id, region: env("REGION"), none: env("NONE") };
}
