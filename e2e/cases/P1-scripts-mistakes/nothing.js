export function clean(row) {
  return row;
}
