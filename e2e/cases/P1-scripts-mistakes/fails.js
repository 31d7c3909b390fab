const limits = null;
const most = limits.most;
export function map(row) {
  return row;
}
