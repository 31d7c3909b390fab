// Rows without a URL are dropped, and the others become one for each of their tags.
import type { Columns, Made, Row } from "braid";

type Hit = Row<{ id: "long"; url: "string"; tags: "string" }>;

export const output = { id: "long", host: "string", tag: "string" } as const satisfies Columns;

export function map({ id, url, tags }: Hit): Made<typeof output>[] | null {
  if (url === null) return null;
  const host = /^https?:\/\/([^/:?#]+)/.exec(url)![1].toLowerCase();
  return (tags ?? "").split(",").map((tag) => ({ id, host, tag: tag.trim() }));
}
