// What each customer has spent by now, and a word where it passes a hundred for the first time.
import type { Columns, Emit, Row, State, Variables } from "braid";

const MUCH = 10_000n; // In cents.

export const output = { customer: "string", spent: "long", note: "string" } as const satisfies Columns;
// What is kept for each key.
export const state = { spent: "long" } as const satisfies Variables;

type Order = Row<{ cents: "long" }>;
type Spending = State<typeof state, { customer: "string" }>;

// Takes a row of a key. Rows come one by one, in their order.
export function onRow({ cents }: Order, state: Spending, emit: Emit<typeof output>): void {
  if (cents === null) throw "an order without its price";
  const before = BigInt(state.spent ?? 0);
  const spent = before + BigInt(cents);
  state.spent = spent;
  const note = before < MUCH && spent >= MUCH ? "has spent a hundred" : null;
  emit({ customer: state.key.customer, spent, note });
}
