#!/usr/bin/env bash
# Builds TimescaleDB from sources at hand and installs it beside the newest PostgreSQL of this machine, for the tests.
#
#   scripts/timescaledb.sh [SOURCES]      or CORDON_TIMESCALEDB_SRC
#
# SOURCES is a folder of sources, a checkout, or a bare git repository that has the tag. Nothing is downloaded.
# Exit codes: 0 installed (or there already), 3 cannot, with what is missing. Needs root, or a PostgreSQL of one's own.
set -euo pipefail

version=2.19.3

cannot() {
  echo "TimescaleDB is not built: $*" >&2
  exit 3
}

sources=${1:-${CORDON_TIMESCALEDB_SRC:-}}
pg_config=$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -t/ -k5 -n | tail -1 || true)
[ -n "$pg_config" ] || pg_config=$(command -v pg_config || true)
[ -n "$pg_config" ] || cannot "PostgreSQL is not installed (no pg_config)"

control="$("$pg_config" --sharedir)/extension/timescaledb.control"
if [ -f "$control" ] && grep -q "default_version = '$version'" "$control"; then
  echo "TimescaleDB $version is installed already"
  exit 0
fi
[ -n "$sources" ] || cannot "no sources: give a folder or a git repository, as argument or in CORDON_TIMESCALEDB_SRC"
[ -e "$sources" ] || cannot "there is nothing at $sources"
[ -f "$("$pg_config" --includedir-server)/postgres.h" ] || cannot "the headers of PostgreSQL are missing (Debian: postgresql-server-dev-<version>)"
for tool in cmake make cc; do
  command -v "$tool" >/dev/null || cannot "$tool is missing"
done
for header in openssl/ssl.h gssapi/gssapi.h; do
  echo "#include <$header>" | cc -E -x c - >/dev/null 2>&1 || cannot "$header is missing (Debian: libssl-dev libkrb5-dev)"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -f "$sources/version.config" ]; then
  cp -R "$sources/." "$work/src"
  rm -rf "$work/src/build"
else
  mkdir "$work/src"
  git -C "$sources" archive --format=tar "$version" 2>/dev/null | tar -x -C "$work/src" ||
    cannot "$sources is neither a folder of sources nor a git repository with the tag $version"
fi
grep -q "^version = $version" "$work/src/version.config" ||
  cannot "$sources holds $(grep '^version' "$work/src/version.config"), not $version"

log="$work/log"
if ! (
  cmake -S "$work/src" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DPG_CONFIG="$pg_config" \
    -DREGRESS_CHECKS=OFF -DTAP_CHECKS=OFF -DWARNINGS_AS_ERRORS=OFF -DSEND_TELEMETRY_DEFAULT=OFF &&
    make -C "$work/build" -j"$(nproc)" &&
    make -C "$work/build" install
) >"$log" 2>&1; then
  tail -20 "$log" >&2
  cannot "the build failed, as told above"
fi
echo "TimescaleDB $version is installed beside $("$pg_config" --version)"
