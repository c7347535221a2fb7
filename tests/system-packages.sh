#!/usr/bin/env bash
# Programs that some tests need beside Python packages. On Debian and its kin, as root, what is missing is installed;
# elsewhere it is said, and the tests that need it are skipped with the same reason.
set -euo pipefail

# program: Debian package
declare -A needed=([chromium]=chromium [ip]=iproute2)
missing=()
for program in "${!needed[@]}"; do
  command -v "$program" >/dev/null || missing+=("${needed[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "Not installed, so some tests are skipped: ${missing[*]}"
