#!/bin/sh
# MiMi against a head alone and plain adapters of the size it ends with, over seeds, on small subsets: 25 training
# images a class, every held-out image. Writes compare/DATASET/{results.json,table.md,plot.svg}; runs that are there
# already are not made again.
set -eu
for name in fashion-mnist openclipart animal-mnist; do
    echo "== $name"
    "${SERVER:-target/release/server}" compare --backbone dinov2-small-112 \
        --data "assets/datasets/$name/train" --validation "assets/datasets/$name/test" --per-class 25 \
        --first-block 6 --epochs 5 --learning-rate 4e-3 --seeds 3 --title "$name" --out "compare/$name" "$@"
done
