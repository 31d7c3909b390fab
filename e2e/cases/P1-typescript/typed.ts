import type { Columns, Long, Made } from "braid";
import type { Row } from "braid";

/** As many kinds of types as fit. */
type Given = Row<{ id: "long"; url: "string"; tags: "string"; ms: "double" }>;
interface Named<T extends string = string> {
  readonly name: T;
  at?(this: Named<T>, index: number): string;
}
declare const NOWHERE: unique symbol;
declare global {
  interface Nothing {}
}

export const output = { id: "long", class: "string", longest: "string" } as const satisfies Columns

abstract class Class<T extends string> implements Named<T> {
  declare private readonly unused: typeof NOWHERE;
  static count?: number = 0;
  readonly name!: T;
  protected constructor(name: T) {
    this.name = name as T;
  }
  abstract takes(ms: number | null): boolean;
  public toString(): string { return this.name!; }
}

class Below<T extends string> extends Class<T> {
  #limit: number;
  constructor(name: T, limit: number) {
    super(name);
    this.#limit = limit;
  }
  takes(ms: number | null): boolean;
  takes(ms: any): boolean {
    return ms !== null && ms < this.#limit;
  }
  override toString(): string { return super.toString(); }
}

const CLASSES: Array<Class<string>> = [new Below<"fast">("fast", 10), new Below("slow", 1000 as number satisfies number)]

function longest<T>(of: readonly T[], length: (each: T) => number): T | undefined {
  return of.reduce<T | undefined>((most, each) => (most === undefined || length(each) > length(most!) ? each : most), undefined);
}

const classOf = (
  ms: number | null,
): string |
  null => CLASSES.find((each): each is Below<string> => each.takes(ms))?.toString() ?? null;

export function map({ id, tags, ms }: Given): Made<typeof output> {
  const names = (tags as string).split(",").map((tag): string => tag.trim()) satisfies string[];
  return { id: id as Long, class: classOf(ms), longest: longest(names, ({ length }: { length: number }) => length) };
}
