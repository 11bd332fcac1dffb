//! Decoding and resizing: what every request pays before it reaches the queue.

use divan::{Bencher, black_box};
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use mimi_server::image::{Limits, Preprocessing, RgbImage, decode};

/// Sides of a thumbnail, a screen and a photograph, pixels.
const SIZES: [(u32, u32); 3] = [(224, 224), (1920, 1080), (4000, 3000)];
/// Side of the backbone's input, pixels.
const INPUT: u32 = 224;

fn main() {
    divan::main();
}

/// A picture with smooth parts and edges, so that decoders have work to do.
fn picture((width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let edge = if (x / 32 + y / 32).is_multiple_of(2) { 96 } else { 0 };
        image::Rgb([(x % 256) as u8, (y % 256) as u8, ((x + y) % 128) as u8 + edge])
    })
}

fn encoded(size: (u32, u32), encoder: impl FnOnce(&mut Vec<u8>, &RgbImage)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder(&mut bytes, &picture(size));
    bytes
}

#[divan::bench(args = SIZES)]
fn decode_jpeg(bencher: Bencher<'_, '_>, size: (u32, u32)) {
    let bytes = encoded(size, |out, image| {
        JpegEncoder::new_with_quality(out, 90).encode_image(image).unwrap_or_default();
    });
    bencher.bench(|| decode(black_box(&bytes), &Limits::default()));
}

#[divan::bench(args = SIZES)]
fn decode_png(bencher: Bencher<'_, '_>, size: (u32, u32)) {
    let bytes = encoded(size, |out, image| {
        let written =
            PngEncoder::new(out).write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8);
        written.unwrap_or_default();
    });
    bencher.bench(|| decode(black_box(&bytes), &Limits::default()));
}

#[divan::bench(args = SIZES)]
fn resize(bencher: Bencher<'_, '_>, size: (u32, u32)) {
    let (image, preprocessing) = (picture(size), Preprocessing::clip(INPUT));
    bencher.bench(|| preprocessing.apply(black_box(&image)));
}
