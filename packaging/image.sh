#!/bin/sh
# Builds the container image from image/ (make image-files) without an engine, prints its size, runs it and asks it.
#
# Needs Debian, root, and its packages buildah, debootstrap and runc, which are installed if missing. The base image is
# what debootstrap makes of Debian bookworm; IMAGE_STORE (target/image-store) keeps it and what is built.
set -eu
cd "$(dirname "$0")/.."
IMAGE=${IMAGE:-localhost/mimi-server:cpu}
BASE=localhost/debian:bookworm-minbase
STORE=$(realpath -m "${IMAGE_STORE:-${CARGO_TARGET_DIR:-target}/image-store}")
export BUILDAH_ISOLATION=chroot

for tool in buildah debootstrap runc; do
    command -v "$tool" >/dev/null && continue
    apt-get install --yes -qq --no-install-recommends buildah debootstrap runc >/dev/null || {
        apt-get update -qq
        apt-get install --yes -qq --no-install-recommends buildah debootstrap runc >/dev/null
    }
done

buildah() {
    command buildah --root "$STORE/root" --runroot "$STORE/run" --storage-driver vfs "$@"
}

# What debian:bookworm-slim leaves out too: packages' lists and pages that nobody reads in a container.
make_base() {
    tree=$STORE/base
    rm -rf "$tree"
    mkdir -p "$tree"
    debootstrap --variant=minbase bookworm "$tree" >"$STORE/debootstrap.log"
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* \
        "$tree"/usr/share/man/* "$tree"/usr/share/locale/*
    # Licences stay.
    find "$tree/usr/share/doc" -type f ! -name copyright -delete
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$tree" / >/dev/null
    buildah commit --quiet --rm "$container" "$BASE" >/dev/null
    rm -rf "$tree"
}

mkdir -p "$STORE"
buildah inspect --type image "$BASE" >/dev/null 2>&1 || make_base
# DEVICE is the default, but buildah 1.28 takes stages named by a default for unused ones.
buildah bud --pull-never --quiet --format docker --tag "$IMAGE" \
    --build-arg DEVICE=cpu --build-arg SERVER=prebuilt --build-arg BASE_CPU="$BASE" . >/dev/null

container=$(buildah from --pull-never "$IMAGE")
trap 'buildah rm "$container" >/dev/null' EXIT
buildah inspect --type image "$IMAGE" >"$STORE/image.json"
"${PYTHON:-python3}" packaging/check_image.py --config "$STORE/image.json" --root "$(buildah mount "$container")"
