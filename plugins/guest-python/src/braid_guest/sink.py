"""A plugin that takes rows away: `process(row, sent)` or `process_batch(rows, sent)` between `open` and `close`."""

from types import SimpleNamespace

from .rows import rows_of
from .types import names_of


def _setting(setting):
    return SimpleNamespace(
        name=setting.name,
        options=dict(setting.options),
        input=names_of(setting.input.fields),
        output_mode=setting.output_mode.name.lower(),
    )


class Sink:
    def __init__(self, script, contract):
        self.script, self.contract = script, contract
        self.sent = None

    def describe(self, setting):
        if hasattr(self.script, "describe"):
            self.script.describe(_setting(setting))
        return self.contract.Promise(getattr(self.script, "idempotent", False) is True)

    def open(self, setting, epoch):
        if hasattr(self.script, "open"):
            known = SimpleNamespace(number=epoch.number, history=epoch.history, key=f"{epoch.history}-{epoch.number}")
            self.sent = self.script.open(_setting(setting), known)
        return self.sent is not False

    def process(self, _, batch):
        rows = rows_of(batch)
        if hasattr(self.script, "process_batch"):
            self.script.process_batch(rows, self.sent)
        else:
            for row in rows:
                self.script.process(row, self.sent)

    def close(self, error):
        if hasattr(self.script, "close"):
            self.script.close(self.sent, error)
