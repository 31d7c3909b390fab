import { parse } from "./parse";
export const map = (row: unknown) => parse(row);
