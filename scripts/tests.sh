#!/usr/bin/env bash
# Runs the tests, two at a time. Where at most MOST failed, these run once more, alone on the machine: what is
# broken fails again (and what hypothesis found is tried again first), what met a busy machine does not. That
# is told in the last lines, because such a test, or the race that it found, wants mending.
set -uo pipefail
MOST=5
cd "$(dirname "$0")/.."
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
.venv/bin/python -m pytest -n 2 --dist worksteal "$@"
code=$?
[ $code -eq 1 ] || exit $code # 1: tests failed; anything else says that they could not be run
mapfile -t names < <(failed | sed '/^$/d')
if [ ${#names[@]} -eq 0 ] || [ ${#names[@]} -gt $MOST ]; then exit 1; fi
echo "Once more, alone: ${#names[@]} that failed."
.venv/bin/python -m pytest --last-failed --last-failed-no-failures none "$@" || exit 1
echo "UNSTABLE, passed only when run alone:"
printf '  %s\n' "${names[@]}"
