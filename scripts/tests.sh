#!/usr/bin/env bash
# Runs the tests, AT_ONCE at a time. Where at most MOST failed, these run once more, alone on the machine: what
# is broken fails again (and what hypothesis found is tried again first), what met a busy machine does not. That
# is told in the last lines, because such a test, or the race that it found, wants mending.
set -uo pipefail
MOST=5
cd "$(dirname "$0")/.."
# Tests wait for processes, ports and clocks half of their time: three for two processors keep these busy, where
# there are 2 GiB of memory for each. More would be sooner done, and late for each other's time limits.
fit=$(awk '/^MemAvailable/ {print int($2 / 2 / 1024 / 1024)}' /proc/meminfo)
most=$(printf '%s\n' $(($(nproc) * 3 / 2)) "$fit" 16 | sort -n | head -n 1)
AT_ONCE=${AT_ONCE:-$((most > 2 ? most : 2))}
unset PYTHONDONTWRITEBYTECODE # as in the Makefile
failed() { .venv/bin/python - <<'END'
import json, pathlib
try:
    names = json.loads(pathlib.Path(".pytest_cache/v/cache/lastfailed").read_text())
except (OSError, ValueError):
    names = {}
print(*names, sep="\n")
END
}
rm -f .pytest_cache/v/cache/lastfailed
.venv/bin/python -m pytest -n "$AT_ONCE" --dist worksteal "$@"
code=$?
[ $code -eq 1 ] || exit $code # 1: tests failed; anything else says that they could not be run
mapfile -t names < <(failed | sed '/^$/d')
if [ ${#names[@]} -eq 0 ] || [ ${#names[@]} -gt $MOST ]; then exit 1; fi
echo "Once more, alone: ${#names[@]} that failed."
.venv/bin/python -m pytest --last-failed --last-failed-no-failures none "$@" || exit 1
echo "UNSTABLE, passed only when run alone:"
printf '  %s\n' "${names[@]}"
