console.log("here");
export function map(row) {
  return row;
}
