export function map(row: { id: number }): { id: number } {
  const id: = row.id;
  return row;
}
