//! Decoding, resizing and normalising against Pillow's answers.

use image::{DynamicImage, RgbImage};
use mimi_server::image::{Error, Interpolation, Limits, Preprocessing, ResizeMode, decode};
use serde_json::{Value, json};

use crate::support::{Fixture, Tensor, fixtures};

fn picture(file: &str) -> RgbImage {
    let bytes = std::fs::read(fixtures().join("images").join(file)).unwrap();
    decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The largest difference from a fixture's pixels `[H, W, 3]`, in levels of 255.
fn difference(found: &RgbImage, expected: &Tensor) -> u8 {
    assert_eq!([found.height() as usize, found.width() as usize, 3], expected.shape[..]);
    let levels = expected.data.iter().map(|&level| level as u8);
    found.iter().zip(levels).map(|(&found, expected)| found.abs_diff(expected)).max().unwrap()
}

#[test]
fn every_kind_of_file_decodes_to_what_pillow_reads() {
    let fixture = Fixture::named("decode");
    let cases = fixture.json("cases");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 50, "only {} cases", cases.len());
    for case in cases {
        let file = case["file"].as_str().unwrap();
        let found = difference(&picture(file), &fixture.tensors[&format!("expect/{file}")]);
        assert_eq!(found, 0, "{file} differs");
    }
}

#[test]
fn cropping_with_bicubic_equals_pillow_bit_for_bit() {
    let fixture = Fixture::named("resize");
    for case in fixture.json("cases").as_array().unwrap() {
        let (name, side) = (case["name"].as_str().unwrap(), case["crop"].as_u64().unwrap() as u32);
        let resize = ResizeMode::ShortSideThenCrop { resize_to: case["resize"].as_u64().unwrap() as u32 };
        let preprocessing = Preprocessing { resize, ..Preprocessing::clip(side) };
        let image = picture(case["file"].as_str().unwrap());
        let resized = preprocessing.resize_rgb(&image).unwrap();
        assert_eq!(difference(&resized, &fixture.tensors[&format!("expect/{name}/pixels")]), 0, "{name}");
        if let Some(expected) = fixture.tensors.get(&format!("expect/{name}/normalised")) {
            let pixels = preprocessing.apply(&image).unwrap(); // [3, S, S]
            assert_eq!([3, side as usize, side as usize], expected.shape[..]);
            let apart = pixels.iter().zip(&expected.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 1e-6, "{name}: normalised differs by {apart}");
        }
    }
}

#[test]
fn every_mode_and_filter_equals_pillow_bit_for_bit() {
    let fixture = Fixture::named("resize_modes");
    let (side, resize_to) = (fixture.json("side"), fixture.json("resize_to"));
    assert_eq!(fixture.tensors.len(), 18);
    for (name, expected) in fixture.under("expect/") {
        let [mode, filter, file] = name.split('/').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let resize = if mode == "short_side_then_crop" {
            json!({ mode: { "resize_to": resize_to } })
        } else {
            json!(mode)
        };
        let preprocessing = preprocessing(&[
            ("resize", resize),
            ("interpolation", json!(filter)),
            ("image_size", side.clone()),
        ]);
        let resized = preprocessing.unwrap().resize_rgb(&picture(file)).unwrap();
        assert_eq!(difference(&resized, &expected), 0, "{name}");
    }
}

/// CLIP's preprocessing as JSON, with some fields replaced, read back.
fn preprocessing(replaced: &[(&str, Value)]) -> serde_json::Result<Preprocessing> {
    let mut json = serde_json::to_value(Preprocessing::clip(224)).unwrap();
    for (field, value) in replaced {
        json[field] = value.clone();
    }
    serde_json::from_value(json)
}

#[test]
fn preprocessing_is_readable_json_and_unknown_words_are_refused() {
    let json = serde_json::to_value(Preprocessing::imagenet(224)).unwrap();
    assert_eq!(json["resize"], json!({ "short_side_then_crop": { "resize_to": 256 } }));
    assert_eq!(json["interpolation"], "bicubic");
    assert_eq!(serde_json::from_value::<Preprocessing>(json).unwrap(), Preprocessing::imagenet(224));
    let unknown = [
        ("interpolation", json!("nearest")),
        ("resize", json!("stretch")),
        ("resize", json!({ "short_side_then_crop": { "resize_to": 256, "crop": "random" } })),
        ("crop_pct", json!(0.9)),
        ("mean", json!([0.5, 0.5])),
    ];
    for case in unknown {
        assert!(preprocessing(std::slice::from_ref(&case)).is_err(), "{case:?} was read");
    }
}

#[test]
fn preprocessing_that_cannot_be_done_exactly_is_refused() {
    let clip = || Preprocessing::clip(224);
    let crop = |resize_to| ResizeMode::ShortSideThenCrop { resize_to };
    let cases = [
        ("antialias", Preprocessing { antialias: false, ..clip() }),
        ("image_size", Preprocessing::clip(0)),
        ("image_size", Preprocessing::clip(100_000)),
        ("resize", Preprocessing { resize: crop(223), ..clip() }),
        ("resize", Preprocessing { resize: crop(1_000_000), ..clip() }),
        ("std", Preprocessing { std: [0.2, 0.0, 0.2], ..clip() }),
        ("std", Preprocessing { std: [f32::NAN, 0.2, 0.2], ..clip() }),
        ("mean", Preprocessing { mean: [f32::INFINITY, 0.0, 0.0], ..clip() }),
    ];
    for (expected, preprocessing) in cases {
        match preprocessing.apply(&RgbImage::new(8, 8)) {
            Err(Error::InvalidPreprocessing { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {:?}", other.map(|pixels| pixels.len())),
        }
    }
}

#[test]
fn long_thin_images_are_resized_or_refused_never_blown_up() {
    let clip = Preprocessing::clip(224);
    let squash = Preprocessing { resize: ResizeMode::Squash, ..clip.clone() };
    let pad = Preprocessing { resize: ResizeMode::LongSidePad, ..clip.clone() };
    for (width, height) in [(1, 10_000), (10_000, 1), (1, 1), (2, 65_535)] {
        let image = RgbImage::from_pixel(width, height, image::Rgb([9, 99, 199]));
        for preprocessing in [&clip, &squash] {
            let square = preprocessing.resize_rgb(&image).unwrap();
            assert!(square.pixels().all(|pixel| pixel.0 == [9, 99, 199]), "{width}x{height}");
        }
    }
    let refused = |preprocessing: &Preprocessing, width, height| {
        let expected = Error::TooElongated { width, height, image_size: preprocessing.image_size };
        assert_eq!(preprocessing.resize_rgb(&RgbImage::new(width, height)), Err(expected));
    };
    refused(&pad, 1, 10_000); // not even one column would be left
    refused(&clip, 1, 70_000);
    refused(&Preprocessing { image_size: 1024, ..squash }, 1, 65_535); // 64 million pixels between the passes
    assert_eq!(clip.resize_rgb(&RgbImage::new(0, 7)), Err(Error::Empty));
}

#[test]
fn an_image_of_the_right_size_passes_unchanged() {
    let image = picture("square.png");
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos3] {
        let preprocessing = Preprocessing { interpolation, ..Preprocessing::clip(image.width()) };
        assert_eq!(preprocessing.resize_rgb(&image).unwrap(), image);
    }
}

#[test]
fn sixteen_bits_keep_their_high_byte() {
    let mut deep = image::ImageBuffer::<image::Rgb<u16>, _>::new(1, 1);
    deep.get_pixel_mut(0, 0).0 = [0x12FF, 0xFFFF, 0x00FF];
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(deep).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let decoded = decode(bytes.get_ref(), &Limits::default()).unwrap();
    assert_eq!(decoded.get_pixel(0, 0).0, [0x12, 0xFF, 0x00]);
}
