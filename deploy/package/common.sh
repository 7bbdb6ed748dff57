# shellcheck shell=bash
# What the scripts of this folder share: each makes one artefact of BINARY in FOLDER. The same binary and the same commit
# give the same bytes (https://reproducible-builds.org/docs/source-date-epoch/).
# shellcheck disable=SC2034 # The scripts that source this file use its variables.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

[ $# -eq 2 ] || { echo "usage: $0 BINARY FOLDER" >&2; exit 2; }
mkdir -p "$2"
binary=$(realpath "$1")
folder=$(realpath "$2")
repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

# The value of a key in the workspace's Cargo.toml.
manifest() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$repository/Cargo.toml" | head -n 1; }
version=$(manifest version)

# The names that Rust, Debian and OCI images have for the architecture of the binary.
machine=$(readelf --file-header "$binary" | sed -n 's/^ *Machine: *//p')
case $machine in
  *X86-64*) target=x86_64-unknown-linux-gnu architecture=amd64 ;;
  *AArch64*) target=aarch64-unknown-linux-gnu architecture=arm64 ;;
  *) echo "$0: $binary is built for '$machine'; give a binary for x86-64 or AArch64" >&2; exit 1 ;;
esac

: "${SOURCE_DATE_EPOCH:=$(git -C "$repository" log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
# An unpacked archive of the source has no commits.
revision=$(git -C "$repository" rev-parse HEAD 2>/dev/null || echo unknown)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# Writes a tar of what is in a folder to stdout.
packed() {
  tar --create --directory "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --format=gnu "$2"
}

# Writes the completion for a shell into a file, or no file if the binary has none.
completion() {
  local shell=$1 file=$2 text
  if text=$("$binary" completions "$shell" 2>/dev/null) && [ -n "$text" ]; then
    install -D -m 644 /dev/stdin "$file" <<<"$text"
  fi
}

# Writes what Prometheus and Grafana need into a folder. With SOURCE_URL, where the source is published, the alerts lead to the
# documentation of this version.
monitoring() {
  install -D -m 644 -t "$1" "$repository"/deploy/prometheus/{prometheus.yml,cosbroker.rules.yml} \
    "$repository/deploy/grafana/cosbroker.json"
  if [ -n "${SOURCE_URL:-}" ]; then
    sed -i "/runbook_url:/s|https://github.com/OWNER/NAME/blob/main|$SOURCE_URL/blob/v$version|" "$1/cosbroker.rules.yml"
  fi
}

# Writes the manual pages into a folder, or no folder if the binary has none.
manual_pages() { "$binary" man --dir "$1" >/dev/null 2>&1 || rm -rf "$1"; }
