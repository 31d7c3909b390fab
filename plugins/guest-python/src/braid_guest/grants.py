"""What the deployment grants the plugin."""

_YAML = {
    "http": 'http: ["https://api.example.com"]',
    "log": "log: true",
    "env": "env: {NAME: value}",
    "clock": "clock: true",
    "random": "random: true",
}
_granted = frozenset()


def grant(all_of_them):
    """Says which grants there are."""
    global _granted
    _granted = frozenset(all_of_them)


def has(one):
    """Whether this is granted."""
    return one in _granted


def must(one, what):
    """Raises where this is not granted."""
    if one not in _granted:
        raise PermissionError(f"{what} needs `grants: {{{_YAML[one]}}}` of the plugin")
