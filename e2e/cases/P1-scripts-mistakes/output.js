export const output = {id: "bigint"};
export function map(row) {
  return row;
}
