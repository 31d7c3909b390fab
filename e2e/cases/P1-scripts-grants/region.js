const LIMIT = Number(env("LIMIT"));
console.debug("loaded, with a limit of", LIMIT);
export const output = {id: "long", region: "string", none: "string"};

export function map({id}) {
  if (id > LIMIT) return null;
  console.log("row", id, {big: 2n ** 63n}, null);
  return {id, region: env("REGION"), none: env("NONE")};
}
