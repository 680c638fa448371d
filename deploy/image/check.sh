#!/usr/bin/env bash
# Builds both images and tunes the demo study in the worker's: as a numeric user, on a read-only root, without
# capabilities and without a network. ENGINE=docker or podman; OPTIONS go to its build command, such as
# OPTIONS="--build-arg PYTHON_IMAGE=registry.example/python:3.12-slim-bookworm". FLAVOUR: cpu, gpu or jax.
set -euo pipefail
cd "$(dirname "$0")/../.."

engine=${ENGINE:-docker} flavour=${FLAVOUR:-cpu}
closed=(--read-only --tmpfs /tmp:rw,exec,mode=1777 --cap-drop ALL --security-opt no-new-privileges --network none)
export DOCKER_BUILDKIT=1

for target in coordinator worker; do
    # shellcheck disable=SC2086
    "$engine" build ${OPTIONS:-} --build-arg "FLAVOUR=$flavour" --target "$target" -t "tuner-$target" .
    "$engine" history --no-trunc --format '{{.Size}}\t{{.CreatedBy}}' "tuner-$target" | cut -c1-150
done

echo "--- no training in the coordinator's"
"$engine" run --rm "${closed[@]}" --entrypoint python tuner-coordinator -c '
from importlib.util import find_spec
assert not any(map(find_spec, ("tensorflow", "keras", "jax"))), "it has a backend"'
"$engine" run --rm "${closed[@]}" tuner-coordinator doctor || test $? -eq 1

echo "--- the demo study, to its end"
"$engine" run --rm "${closed[@]}" -v "$PWD/studies:/studies:ro" tuner-worker \
    run /studies/digits_mlp.py --workers 2 --storage sqlite:////tmp/tuner.db --artifacts /tmp/artifacts

echo "--- SIGTERM: saved, handed back, exit code 75"
"$engine" run -d --name tuner-check "${closed[@]}" -v "$PWD/studies:/studies:ro" tuner-worker \
    run /studies/digits_mlp.py --workers 1 --slots 1 --storage sqlite:////tmp/tuner.db --artifacts /tmp/artifacts
trap '"$engine" rm -f tuner-check >/dev/null' EXIT
until "$engine" logs tuner-check 2>&1 | grep -q running; do sleep 1; done
"$engine" stop -t 60 tuner-check >/dev/null
code=$("$engine" inspect --format '{{.State.ExitCode}}' tuner-check)
"$engine" logs tuner-check 2>&1 | tail -3
test "$code" = 75 || { echo "exit code $code" >&2; exit 1; }
