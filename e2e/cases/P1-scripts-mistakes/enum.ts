import type { Row } from "braid";

type Given = Row<{ id: "long" }>;

export enum Size {
  Small,
  Large,
}

export function map(row: Given): Given {
  return row;
}
