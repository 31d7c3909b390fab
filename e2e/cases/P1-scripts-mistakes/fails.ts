type Limits = { most: number };
const limits = null as unknown as Limits;
const most: number = limits!.most;
export function map<R>(row: R): R {
  return row;
}
