//! The image corpus: every file is shown as Pillow shows it, bit for bit, or refused by a word of the list in
//! `docs/images.md`. `tests/fixtures/make_image_corpus.py` makes it.

use std::io::Read;

use flate2::read::ZlibDecoder;
use mimi_server::image::{Error, Limits, decode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::fixtures;

struct Case {
    file: String,
    bytes: Vec<u8>,
    described: Value,
}

fn corpus() -> Vec<Case> {
    let packed = std::fs::read(fixtures().join("image_corpus.zlib")).unwrap();
    let mut raw = Vec::new();
    ZlibDecoder::new(&packed[..]).read_to_end(&mut raw).unwrap();
    let (length, rest) = raw.split_first_chunk::<4>().unwrap();
    let (text, mut contents) = rest.split_at(u32::from_le_bytes(*length) as usize);
    let text: Value = serde_json::from_slice(text).unwrap();
    let cases = text["cases"].as_array().unwrap().iter().map(|case| {
        let (bytes, after) = contents.split_at(case["bytes"].as_u64().unwrap() as usize);
        contents = after;
        Case { file: case["file"].as_str().unwrap().into(), bytes: bytes.to_vec(), described: case.clone() }
    });
    cases.collect()
}

impl Case {
    fn refused(&self) -> Option<&str> {
        self.described["refused"].as_str()
    }

    /// What is wrong with what the decoder makes of the file.
    fn fault(&self) -> Option<String> {
        let found = decode(&self.bytes, &Limits::default());
        match (self.refused(), found) {
            (Some(word), Err(error)) if error.to_string().contains(word) => None,
            (Some(word), Err(error)) => Some(format!("{}: \"{error}\" does not say \"{word}\"", self.file)),
            (Some(_), Ok(_)) => {
                Some(format!("{}: accepted, and is on the list of what is refused", self.file))
            }
            (None, Err(error)) => Some(format!("{}: {error}", self.file)),
            (None, Ok(image)) => {
                let digest = Sha256::digest(image.as_raw());
                let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
                let size = [image.width(), image.height()].map(Value::from);
                let same = size == [self.described["width"].clone(), self.described["height"].clone()]
                    && self.described["sha256"] == digest;
                (!same).then(|| format!("{}: pixels differ from Pillow's", self.file))
            }
        }
    }
}

/// Checks the files of the corpus whose names begin so, of which there are at least so many.
#[track_caller]
fn check(beginnings: &[&str], at_least: usize) {
    let cases = corpus();
    let chosen: Vec<&Case> =
        cases.iter().filter(|case| beginnings.iter().any(|name| case.file.starts_with(name))).collect();
    assert!(chosen.len() >= at_least, "{beginnings:?}: only {} files", chosen.len());
    let faults: Vec<String> = chosen.iter().filter_map(|case| case.fault()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Prints what `make image-corpus` shows.
#[test]
fn every_accepted_file_of_the_corpus_equals_pillow_bit_for_bit() {
    let cases = corpus();
    let faults: Vec<String> = cases.iter().filter_map(Case::fault).collect();
    let refused = cases.iter().filter(|case| case.refused().is_some()).count();
    let equal = cases.len() - refused;
    let different = faults.len();
    println!(
        "files {}, equal {}, refused from the list {refused}, different {different}",
        cases.len(),
        equal - different.min(equal)
    );
    assert!(equal >= 500 && refused >= 80, "only {equal} files to show and {refused} to refuse");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn f8_associated_alpha_of_tiff_is_divided_out() {
    check(&["tiff_premultiplied", "tiff_grey_premultiplied"], 10);
}

#[test]
fn f9_gif_frames_make_their_screen_larger_and_lie_where_they_say() {
    check(&["gif_"], 40);
}

#[test]
fn f10_orientation_is_found_wherever_pillow_finds_it() {
    check(&["exif_", "xmp", "orientation_"], 60);
}

#[test]
fn f13_tiff_layouts_compressions_and_bigtiff_are_decoded_or_refused_by_name() {
    check(&["tiff_", "refused_tiff_"], 150);
}

#[test]
fn f19_jpeg_and_png_forms_that_are_not_decoded_are_named() {
    check(&["refused_jpeg_", "refused_cgbi"], 14);
}

#[test]
fn other_formats_are_named() {
    check(&["refused_"], 80);
}

#[test]
fn jpeg_colour_is_upsampled_as_libjpeg_turbo_does() {
    check(&["sampling_", "size_", "quality_", "progressive_"], 50);
}

#[test]
fn a_damaged_jpeg_scan_gives_what_libjpeg_turbo_makes_of_it() {
    check(&["damaged_"], 30);
}

#[test]
fn an_animated_webp_with_a_short_frame_header_is_refused() {
    let cases = corpus();
    let whole = &cases.iter().find(|case| case.file == "webp_animated_offset.webp").unwrap().bytes;
    let at = whole.windows(4).position(|window| window == b"ANMF").unwrap();
    for kept in 0..16_u32 {
        let mut form = whole[..at + 4].to_vec();
        form.extend(kept.to_le_bytes());
        form.extend(&whole[at + 8..at + 8 + kept as usize]);
        form.resize(form.len() + (kept % 2) as usize, 0);
        let length = (form.len() as u32 - 8).to_le_bytes();
        form[4..8].copy_from_slice(&length);
        let refused = decode(&form, &Limits::default());
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{kept}: {refused:?}");
    }
}

/// Cut anywhere, a file is refused or has all its pixels; damaged anywhere, it does not panic.
#[test]
fn no_cut_and_no_damage_of_the_corpus_panics() {
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 100_000 };
    for case in corpus().iter().filter(|case| case.bytes.len() < 4000) {
        let step = (case.bytes.len() / 16).max(1);
        let whole = decode(&case.bytes, &limits).ok();
        for at in (0..case.bytes.len()).step_by(step) {
            if let (Ok(cut), Some(whole)) = (decode(&case.bytes[..at], &limits), &whole) {
                assert!(
                    cut == *whole || turned(&cut, whole),
                    "{}: {at} bytes of {}",
                    case.file,
                    case.bytes.len()
                );
            }
            let mut damaged = case.bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            drop(decode(&damaged, &limits));
            damaged[at] = 0xFF;
            drop(decode(&damaged, &limits));
        }
    }
}

/// Whether a cut took nothing but what stands behind the pixels and says how to turn them.
fn turned(cut: &mimi_server::image::RgbImage, whole: &mimi_server::image::RgbImage) -> bool {
    let sorted = |image: &mimi_server::image::RgbImage| {
        let mut pixels: Vec<[u8; 3]> = image.pixels().map(|pixel| pixel.0).collect();
        pixels.sort_unstable();
        pixels
    };
    sorted(cut) == sorted(whole)
}
