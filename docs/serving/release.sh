#!/usr/bin/env bash
# Releases of a model that TF Serving serves under the labels `stable` and `canary` (models.config):
#   release.sh try VERSION   the server loads it beside the stable version, and `canary` names it
#   release.sh move          if it compares well with the stable version, both labels change places
#   release.sh back          they change places again
# The server runs with --model_config_file, --model_config_file_poll_wait_seconds=10 and
# --allow_version_labels_for_unavailable_models.
set -euo pipefail

config=${CONFIG:-models.config} # the server's --model_config_file
models=${MODELS:-models/elegant} # where `elegant-tf export` wrote the versions
server=${SERVER:-localhost:8501/v1/models/elegant} # where the server answers for the model over REST
data=${DATA:-held_out} # what to compare on: a folder that `elegant-tf dress` or `elegant-tf faces` wrote

label() {
    sed -n "s/.*key: \"$1\" value: \([0-9]*\).*/\1/p" "$config"
}

# Sets the two versions to load, and those that `stable` and `canary` name.
configure() {
    sed -E -e "s/(specific \{) [^}]*/\1 versions: $1 versions: $2 /" \
        -e "s/(\"stable\" value:) [0-9]+/\1 $3/" -e "s/(\"canary\" value:) [0-9]+/\1 $4/" "$config" > "$config.part"
    mv "$config.part" "$config" # at once: the server may read it at any time
}

wait_for() {
    for _ in {1..60}; do
        if curl -fs "$server/versions/$1" | grep -q '"AVAILABLE"'; then return; fi
        sleep 5
    done
    echo "version $1 was not loaded in five minutes; see the server's log" >&2
    exit 1
}

stable=$(label stable)
canary=$(label canary)
case ${1:-} in
    try)
        configure "$stable" "$2" "$stable" "$stable" # A label cannot move to a version that is not loaded yet.
        wait_for "$2"
        configure "$stable" "$2" "$stable" "$2"
        ;;
    move)
        elegant-tf compare --old "$models/$stable" --new "$models/$canary" --data_dir "$data" \
            --realised -0.01 --leak 0.25 --markdown "$models/$canary-against-$stable.md"
        configure "$stable" "$canary" "$canary" "$stable"
        ;;
    back)
        configure "$stable" "$canary" "$canary" "$stable"
        ;;
    *)
        sed -n '2,5s/^# //p' "$0" >&2
        exit 2
        ;;
esac
