#!/bin/sh
# MiMi against a head alone and plain adapters of the size it ends with, over three seeds, on at most 100 training and
# 100 held-out images of a class. Writes compare/DATASET/{results.json,table.md,plot.svg}; runs that are there already
# are not made again.
set -eu
for name in fashion-mnist openclipart animal-mnist; do
    echo "== $name"
    "${SERVER:-target/release/server}" compare --backbone dinov2-small-56 \
        --data "assets/datasets/$name/train" --validation "assets/datasets/$name/test" \
        --per-class 100 --held-out-per-class 100 \
        --first-block 4 --init identity --sigma-0 24 --sigma 192 --epochs 5 --seeds 3 --title "$name" --out "compare/$name" "$@"
done
