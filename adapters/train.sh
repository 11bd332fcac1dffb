#!/bin/sh
# Trains the committed packs. Each run writes the next version; a running server publishes it by itself.
set -eu
train() {
    name=$1
    shift
    "${SERVER:-target/release/server}" train-task --task "$name" \
        --data "assets/datasets/$name/train" --validation "assets/datasets/$name/test" "$@"
}
train openclipart --method mimi --first-block 9 --sigma-0 8 --sigma 32 --epochs 2 --description "openclipart, twelve subjects (adapters/datasets.py openclipart)"
train animal-mnist --method mimi --init identity --first-block 9 --sigma-0 32 --sigma 256 --epochs 2 --per-class 60 --held-out-per-class 50 --description "animal-mnist, 60 training and 50 held-out images of each class (adapters/datasets.py animal-mnist)"
train fashion-mnist --description "Fashion-MNIST, first 200 of each class (adapters/datasets.py fashion-mnist)"
