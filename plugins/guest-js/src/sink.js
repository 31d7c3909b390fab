// A plugin that takes rows away: `process(row, sent)` or `processBatch(rows, sent)` between `open` and `close`.

import { namesOf } from "./types.js";
import { rowsOf } from "./rows.js";

const settingOf = ({ name, options, input, outputMode }) => ({
  name,
  options: Object.fromEntries(options),
  input: namesOf(input.fields),
  outputMode,
});

export function sink(script) {
  let sent;
  return {
    describe(setting) {
      script.describe?.(settingOf(setting));
      return { idempotent: script.idempotent === true };
    },
    open(setting, { number, history }) {
      sent = script.open?.(settingOf(setting), { number, history, key: `${history}-${number}` });
      return sent !== false && sent !== null;
    },
    process(_, batch) {
      const rows = rowsOf(batch);
      if (script.processBatch) script.processBatch(rows, sent);
      else for (const row of rows) script.process(row, sent);
    },
    close(error) {
      script.close?.(sent, error);
    },
  };
}
