// What a script has beside the language itself, for editors and `tsc`. Braid does not read it.

declare module "braid" {
  /** A column's type, by its name in a deployment. */
  export type Type =
    | "boolean" | "int" | "long" | "float" | "double" | "string" | "binary" | "date" | "timestamp" | "timestamp_millis"
    | `decimal(${number},${number})`;

  /** Columns and their types: what `output` is, and what `describe` is given. */
  export type Columns = { readonly [column: string]: Type };

  /** A number where it is exact (up to 2^53), otherwise a `BigInt`. */
  export type Long = number | bigint;

  /** What a value of a type is. Of a `date` it is days, of a `timestamp` micro- or milliseconds since 1970. */
  export type Value<T extends Type> =
    T extends "boolean" ? boolean :
    T extends "int" | "float" | "double" | "date" ? number :
    T extends "long" | "timestamp" | "timestamp_millis" ? Long :
    T extends "binary" ? Uint8Array :
    string;

  /** What may be given out where a type stands. */
  export type Accepted<T extends Type> = Value<T> | (T extends "timestamp" | "timestamp_millis" ? Date : T extends `decimal${string}` ? Long : never);

  /** A row that is given: any of its columns may be null. */
  export type Row<C extends Columns = Columns> = { [N in keyof C]: Value<C[N]> | null };

  /** A row that is given out: a column that it does not have is null. */
  export type Made<C extends Columns> = { [N in keyof C]?: Accepted<C[N]> | null };

  /** Columns that are given: an array for each, typed where nothing is null. */
  export type Given<C extends Columns> = { [N in keyof C]: ArrayLike<Value<C[N]> | null> };

  /** The state of an aggregate, of the columns in `state`. */
  export type Kept<C extends Columns> = { [N in keyof C]: Value<C[N]> | null };

  /** What is kept for each key: a value, a list, or a map. */
  export type Variables = { readonly [name: string]: Type | readonly [Type] | Columns };

  /** A list that is kept for a key. */
  export interface List<V> extends Iterable<V> {
    readonly length: number;
    at(index: number): V | undefined;
    push(value: V): void;
    clear(): void;
  }

  /** A map that is kept for a key, in the order of its entries' names. */
  export interface Entries<K, V> extends Iterable<[K, V]> {
    readonly size: number;
    has(entry: K): boolean;
    get(entry: K): V | undefined;
    set(entry: K, value: V): void;
    delete(entry: K): void;
    clear(): void;
  }

  /** What `onRow` and `onTimer` are given: what `state` declares, the key, the time, and timers. */
  export type State<S extends Variables, K extends Columns = Columns> = {
    -readonly [N in keyof S]:
      S[N] extends Type ? Value<S[N]> | null :
      S[N] extends readonly [infer T extends Type] ? List<Value<T>> :
      S[N] extends Columns ? Entries<EntryOf<S[N]>, Value<S[N][keyof S[N]]>> :
      never;
  } & {
    readonly key: Row<K>;
    readonly now: Long;
    setTimer(at: Long | Date): void;
    deleteTimer(at: Long | Date): void;
  };

  /** By the type that names a map's entries: texts, unless it says otherwise. */
  export type EntryOf<M extends Columns> = keyof M extends infer T extends Type ? Value<T> : string;

  /** Gives a row out. */
  export type Emit<C extends Columns> = (row: Made<C>) => void;

  /** What a deployment says of a sink. */
  export interface Setting {
    readonly name: string;
    readonly options: { readonly [option: string]: string | undefined };
    readonly input: Columns;
    readonly outputMode: "append" | "update" | "complete";
  }

  /** An epoch of a sink: `key` tells it from those of other stores too. */
  export interface Epoch {
    readonly number: Long;
    readonly history: string;
    readonly key: string;
  }

  export interface Request {
    method?: string;
    url: string;
    headers?: { [name: string]: string };
    body?: string | Uint8Array;
  }

  export interface Response {
    readonly status: number;
    readonly headers: [name: string, value: string][];
    readonly body: Uint8Array;
    text(): string;
  }
}

/** Requests of a sink, to origins that the deployment grants. They wait for their answer. */
declare const http: {
  /** Throws where a request to this URL would not be allowed; for `describe`. */
  granted(url: string): void;
  send(request: import("braid").Request): import("braid").Response;
  post(url: string, body: string | Uint8Array, headers?: { [name: string]: string }): import("braid").Response;
};

/** A value that is written in the deployment (`grants: {env: {NAME: value}}`); null where there is none of this name. */
declare function env(name: string): string | null;

/** Lines in Braid's log, where the deployment grants it (`grants: {log: true}`). */
declare const console: { [level in "debug" | "log" | "info" | "warn" | "error"]: (...values: unknown[]) => void };

/** For sinks with `grants: {random: true}`. */
declare const crypto: {
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): string;
};
