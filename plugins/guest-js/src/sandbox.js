// There is no clock and no chance in a plugin: what it computes is the same in both layers, and after a restart.

const none = (what) => () => {
  throw new Error(`there is no ${what} in a plugin: it computes from its rows, and from nothing else`);
};

const Given = Date;
function Instant(...given) {
  if (!new.target || given.length === 0) none("clock")();
  return Reflect.construct(Given, given, new.target === Instant ? Given : new.target);
}
Object.defineProperty(Instant, "name", { value: "Date" });
Instant.prototype = Given.prototype;
Object.defineProperty(Given.prototype, "constructor", { value: Instant, writable: true, configurable: true });
Object.assign(Instant, { UTC: Given.UTC, parse: Given.parse, now: none("clock") });

globalThis.Date = Instant;
Math.random = none("randomness");
delete globalThis.performance;
