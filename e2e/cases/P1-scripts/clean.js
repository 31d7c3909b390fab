// A row for each tag of a hit, with the host of its URL.
export function describe({url, tags, ...rest}) {
  return {...rest, host: url, tag: tags};
}

export function map({url, tags, ...rest}) {
  if (url === null) return null;
  while (url === "loop") {}
  const host = /^https?:\/\/([^/:?#]+)/.exec(url)[1].toLowerCase();
  return (tags ?? "").split(",").map((tag) => ({...rest, host, tag: tag.trim()}));
}
