#!/usr/bin/env bash
# Builds the image and runs one command in it; without a command: tests/support/inside_image.py, which starts the backend.
#   docker/check.sh [COMMAND ...]
# IMAGE_CHECK names a program for machines without a Docker engine; it is called with DOCKERFILE CONTEXT COMMAND ...
set -euo pipefail
cd "$(dirname "$0")/.."

(($#)) || set -- python -c "$(cat tests/support/inside_image.py)"

if [[ -n ${IMAGE_CHECK:-} ]]; then
  exec "$IMAGE_CHECK" docker/Dockerfile . "$@"
fi
docker build --file docker/Dockerfile --tag pt4al-backend:check .
docker run --rm --init --entrypoint "" pt4al-backend:check "$@"
