export function map(row) {
  return row.id > ;
}
