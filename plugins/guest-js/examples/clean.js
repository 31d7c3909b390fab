// Rows without a URL are dropped, and the others become one for each of their tags.
export const output = {id: "long", host: "string", tag: "string"};

export function map({id, url, tags}) {
  if (url === null) return null;
  const host = /^https?:\/\/([^/:?#]+)/.exec(url)[1].toLowerCase();
  return (tags ?? "").split(",").map((tag) => ({id, host, tag: tag.trim()}));
}
