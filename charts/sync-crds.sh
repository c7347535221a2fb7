#!/bin/sh
# Copies crds/ into the chart, because helm reads nothing outside of it; with --check, fails where they differ.
set -eu
cd "$(dirname "$0")/.."
copy=charts/azure-hpc-operator/files/crds

if [ "${1:-}" = --check ]; then
  diff --recursive crds "$copy" || {
    echo "The chart's CRDs are not those of crds/: run charts/sync-crds.sh and commit what it changes." >&2
    exit 1
  }
else
  mkdir -p "$copy"
  rm -f "$copy"/*
  cp crds/*.yaml "$copy"
fi
