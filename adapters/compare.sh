#!/bin/sh
# MiMi against a head alone and plain adapters of the size it ends with, over three seeds, on small subsets: at most 100
# (Fashion-MNIST) or 40 training images a class, at most 100 held out. Writes compare/DATASET/{results.json,table.md,
# plot.svg}; runs that are there already are not made again.
set -eu
for set in fashion-mnist:100 openclipart:40 animal-mnist:40; do
    name=${set%:*}
    echo "== $name"
    "${SERVER:-target/release/server}" compare --backbone dinov2-small-56 \
        --data "assets/datasets/$name/train" --validation "assets/datasets/$name/test" \
        --per-class "${set#*:}" --held-out-per-class 100 \
        --first-block 4 --epochs 4 --seeds 3 --title "$name" --out "compare/$name" "$@"
done
