export const output = "string";

export function call(url: string | null): string | null {
  const found = /^https?:\/\/([^/:?#]+)/.exec(url ?? "");
  return found ? found[1].toLowerCase() : null;
}
