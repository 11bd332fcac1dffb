//! One set of limits for an image, wherever it is read.

use std::process::Command;

use mimi_server::image::Limits;
use mimi_server::train::{Reason, Setup, train};

use super::{dataset, options, setup};
use crate::server::World;
use crate::support::Random;

/// A picture of noise as a PNG of about three bytes a pixel.
fn noise(side: u32) -> image::RgbImage {
    let mut random = Random::new(5);
    let values = random.floats((side * side * 3) as usize, 127.0);
    let bytes = values.iter().map(|value| (value + 128.0) as u8).collect();
    image::RgbImage::from_raw(side, side, bytes).unwrap()
}

#[test]
fn f14_an_image_that_is_served_is_trained_on() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let large = data.path().join("red/large.png");
    noise(2560).save(&large).unwrap();
    let bytes = std::fs::metadata(&large).unwrap().len();
    assert!(bytes > 18 << 20, "{bytes} bytes");
    let options = options(&world, data.path());
    let report = train(&setup(&world), &options, &mut |_| {}).unwrap();
    assert_eq!((report.left_out, report.images.trained + report.images.held_out), (Vec::new(), 34));
    // Lower limits leave it out, with the reason, whichever is crossed.
    let default = Limits::default();
    for limits in [Limits { max_bytes: 16 << 20, ..default }, Limits { max_pixels: 4_000_000, ..default }] {
        let lower = Setup { limits, ..setup(&world) };
        let report = train(&lower, &options, &mut |_| {}).unwrap();
        assert_eq!(report.left_out.len(), 1);
        assert_eq!((&report.left_out[0].path, report.left_out[0].reason), (&large, Reason::TooLarge));
    }
}

#[test]
fn f14_every_command_that_reads_images_has_the_same_limits() {
    for command in ["serve", "train-task", "eval", "compare"] {
        let help = Command::new(env!("CARGO_BIN_EXE_server")).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for words in ["--max-megapixels", "[default: 40]", "--max-image-mib", "[default: 32]"] {
            assert!(help.contains(words), "{command} has no {words}");
        }
    }
    let default = Limits::default();
    assert_eq!((default.max_bytes, default.max_pixels), (32 << 20, 40_000_000));
}
