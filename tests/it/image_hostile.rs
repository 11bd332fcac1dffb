//! Images that are broken, hostile or no images: each is refused with a reason, none panics or takes memory it claims.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use mimi_server::image::{Error, Format, Limits, Preprocessing, decode};
use proptest::prelude::*;

use crate::support::fixtures;

/// Small, so that a claim that gets through is felt.
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1_000_000 };

fn file(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("images").join(name)).unwrap()
}

/// One file of each format, and of each way through the decoders that differ.
fn samples() -> Vec<(Format, Vec<u8>)> {
    let names = [
        (Format::Jpeg, "baseline_420.jpg"),
        (Format::Jpeg, "progressive.jpg"),
        (Format::Jpeg, "ycck.jpg"),
        (Format::Jpeg, "exif_6.jpg"),
        (Format::Jpeg, "restart_markers.jpg"),
        (Format::Png, "rgb_16.png"),
        (Format::Png, "interlaced.png"),
        (Format::Png, "palette_transparent.png"),
        (Format::Png, "exif_6.png"),
        (Format::WebP, "lossy.webp"),
        (Format::WebP, "lossless.webp"),
        (Format::WebP, "alpha_lossy.webp"),
        (Format::WebP, "animated.webp"),
        (Format::WebP, "exif_8.webp"),
        (Format::Bmp, "rgb.bmp"),
        (Format::Bmp, "palette.bmp"),
        (Format::Gif, "animated.gif"),
        (Format::Gif, "transparent.gif"),
        (Format::Tiff, "lzw.tif"),
        (Format::Tiff, "deflate_alpha.tif"),
        (Format::Tiff, "cmyk.tif"),
    ];
    names.into_iter().map(|(format, name)| (format, file(name))).collect()
}

/// Overwrites bytes.
fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Where a byte string begins.
fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

/// PNG's checksum (CRC-32, polynomial 0xEDB88320).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

/// A PNG whose header claims another size and is otherwise right.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let png = patched(file("rgb.png"), 16, &size);
    let checksum = crc(&png[12..29]).to_be_bytes();
    patched(png, 29, &checksum)
}

fn encoded(image: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A TIFF, uncompressed, whose directory's tag has another value.
fn tiff_with(tag: u16, value: u32) -> Vec<u8> {
    let tiff = encoded(DynamicImage::ImageRgb8(RgbImage::new(4, 4)), ImageFormat::Tiff);
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entry = (directory + 2..).step_by(12).find(|&at| tiff[at..at + 2] == tag.to_le_bytes()).unwrap();
    patched(tiff, entry + 8, &value.to_le_bytes())
}

#[test]
fn sizes_beyond_the_limit_are_refused_from_the_header() {
    let jpeg = file("baseline_444.jpg");
    let frame = find(&jpeg, &[0xFF, 0xC0]) + 5;
    let bmp = file("rgb.bmp");
    let lossless = file("lossless.webp");
    let packed = find(&lossless, b"VP8L") + 9;
    let canvas = file("alpha_lossy.webp");
    let canvas_size = find(&canvas, b"VP8X") + 12;
    let width = 256; // TIFF's ImageWidth
    let claims = [
        ("PNG", png_claiming(60_000, 60_000)),
        ("PNG's largest", png_claiming(0x7FFF_FFFF, 0x7FFF_FFFF)),
        ("JPEG", patched(jpeg, frame, &[0xFF, 0xFF, 0xFF, 0xFF])),
        ("BMP", patched(bmp, 18, &[[0, 0xEA, 0, 0], [0, 0xEA, 0, 0]].concat())),
        ("GIF", patched(file("palette.gif"), 6, &[0xFF, 0xFF, 0xFF, 0xFF])),
        ("WebP lossless", patched(lossless, packed, &[0xFE, 0xBF, 0xFF, 0x0F])),
        ("WebP extended", patched(canvas, canvas_size, &[0xFF; 6])),
        ("TIFF", tiff_with(width, 0x00FF_FFFF)),
    ];
    for (name, bytes) in claims {
        let refused = decode(&bytes, &LIMITS);
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn bytes_beyond_the_limit_are_refused_unread() {
    let refused = decode(&vec![0; LIMITS.max_bytes + 1], &LIMITS);
    let expected = Error::TooManyBytes { bytes: LIMITS.max_bytes + 1, max_bytes: LIMITS.max_bytes };
    assert_eq!(refused, Err(expected));
    assert_eq!(decode(&[], &LIMITS), Err(Error::Empty));
}

#[test]
fn what_is_no_image_is_named() {
    let others: [&[u8]; 8] = [
        b"\0",
        b"hello",
        b"<!DOCTYPE html><html></html>",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"{\"image\": \"data:image/png;base64,iVBORw0KGgo=\"}",
        b"%PDF-1.7",
        b"\0\0\0\x1cftypavif",
        b"RIFF\x04\0\0\0WAVE",
    ];
    for bytes in others {
        let refused = decode(bytes, &LIMITS).unwrap_err();
        let named = matches!(refused, Error::KnownFormat { .. } | Error::UnsupportedFormat { .. });
        assert!(named, "{refused}");
        assert!(refused.to_string().is_ascii(), "{refused}");
    }
}

#[test]
fn what_breaks_its_format_is_malformed() {
    let png = file("rgb.png");
    let checksum = find(&png, b"IDAT") - 8; // the header's, which ends before the data's length
    let corrupt_png = patched(png.clone(), checksum, &[png[checksum] ^ 1]);
    let data = find(&png, b"IDAT") + 40;
    let corrupt_data = patched(png.clone(), data, &[png[data] ^ 0xFF]);
    let exif = file("exif_8.webp");
    let exif_size = find(&exif, b"EXIF") + 4;
    let animated = file("animated.webp");
    let frame_size = find(&animated, b"ANMF") + 14;
    let jpeg = file("baseline_420.jpg");
    let scans =
        [&jpeg[..find(&jpeg, &[0xFF, 0xDA])], &[0xFF, 0xDA, 0, 2].repeat(1000), &[0xFF, 0xD9]].concat();
    let cases = [
        ("a JPEG of three bytes", vec![0xFF, 0xD8, 0xFF]),
        ("a JPEG without a scan", vec![0xFF, 0xD8, 0xFF, 0xD9]),
        ("a JPEG of a thousand scans", scans),
        ("a PNG's signature", png[..8].to_vec()),
        ("a PNG with a wrong checksum", corrupt_png),
        ("a PNG with corrupt data", corrupt_data),
        ("a PNG without pixels", png_claiming(0, 7)),
        ("a WebP of no chunks", b"RIFF\x04\0\0\0WEBP".to_vec()),
        ("a WebP whose EXIF claims 4 GB", patched(exif, exif_size, &[0xFE, 0xFF, 0xFF, 0xFF])),
        ("a WebP whose frame is not its bitstream's size", patched(animated, frame_size, &[3, 0, 0])),
        ("a BMP's signature", b"BM".to_vec()),
        ("a GIF's signature", b"GIF89a".to_vec()),
        ("a GIF without a frame", b"GIF89a\x08\0\x08\0\0\0\0;".to_vec()),
        ("a TIFF's signature", b"II*\0".to_vec()),
        ("a TIFF whose directory is elsewhere", b"II*\0\xFF\xFF\xFF\x7F".to_vec()),
    ];
    for (name, bytes) in cases {
        match decode(&bytes, &LIMITS) {
            Err(Error::Malformed { reason, .. }) => assert!(!reason.is_empty(), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_decoded_exactly_is_unsupported() {
    let floats = DynamicImage::ImageRgb32F(image::Rgb32FImage::new(2, 2));
    let compression = 259;
    let cases = [
        ("floating-point TIFF", encoded(floats, ImageFormat::Tiff)),
        ("TIFF compressed by JPEG", tiff_with(compression, 7)),
        ("text that begins as a BMP does", b"BMW makes motorcycles, among other things".to_vec()),
    ];
    for (name, bytes) in cases {
        let refused = decode(&bytes, &LIMITS);
        assert!(matches!(refused, Err(Error::UnsupportedFeature { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn a_truncated_file_is_refused_or_has_all_its_pixels() {
    for (format, bytes) in samples() {
        let whole = decode(&bytes, &LIMITS).unwrap();
        for length in (1..bytes.len()).step_by(7).chain(bytes.len() - 8..bytes.len()) {
            match decode(&bytes[..length], &LIMITS) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(_) if format == Format::Jpeg || format == Format::WebP => {
                    panic!("{format} of {length} bytes of {} was accepted", bytes.len())
                }
                Ok(cut) => assert!(cut == whole, "{format}: {length} bytes of {}", bytes.len()),
            }
        }
    }
}

#[test]
fn odd_shapes_are_ordinary_images() {
    for (width, height) in [(1, 1), (1, 10_000), (10_000, 1), (3, 2)] {
        let grey = GrayImage::from_pixel(width, height, image::Luma([77]));
        for format in
            [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff]
        {
            let image = match format {
                ImageFormat::Gif => DynamicImage::ImageLuma8(grey.clone()).into_rgba8().into(),
                _ => DynamicImage::ImageLuma8(grey.clone()),
            };
            let decoded = decode(&encoded(image, format), &LIMITS).unwrap();
            assert_eq!(decoded.dimensions(), (width, height), "{format:?}");
            assert!(decoded.pixels().all(|pixel| pixel.0 == [77; 3]), "{format:?} {width}x{height}");
        }
    }
}

/// Decodes and resizes; what comes out is right in shape or refused.
fn survive(bytes: &[u8]) {
    let side = 16;
    if let Ok(image) = decode(bytes, &LIMITS) {
        assert!(u64::from(image.width()) * u64::from(image.height()) <= LIMITS.max_pixels);
        if let Ok(pixels) = Preprocessing::clip(side).apply(&image) {
            assert_eq!(pixels.len(), 3 * 16 * 16);
            assert!(pixels.iter().all(|value| value.is_finite()));
        }
    }
}

/// A change to a file: where, as a share of its length, and what.
#[derive(Debug, Clone)]
enum Damage {
    Change(f64, u8),
    Cut(f64, usize),
    Insert(f64, Vec<u8>),
    Truncate(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Squared, so that headers are hit more often than data.
    let at = || (0.0..1.0_f64).prop_map(|share| share * share);
    prop_oneof![
        8 => (at(), any::<u8>()).prop_map(|(at, mask)| Damage::Change(at, mask)),
        1 => (at(), 0..16_usize).prop_map(|(at, count)| Damage::Cut(at, count)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 0..16)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => at().prop_map(Damage::Truncate),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let place = |share: f64| ((share * bytes.len() as f64) as usize).min(bytes.len().saturating_sub(1));
    match damage {
        _ if bytes.is_empty() => {}
        Damage::Change(at, mask) => {
            let at = place(*at);
            bytes[at] ^= mask;
        }
        Damage::Cut(at, count) => {
            let at = place(*at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Insert(at, new) => {
            let at = place(*at);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Truncate(at) => bytes.truncate(place(*at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(which in 0..21_usize, damages in proptest::collection::vec(damage(), 1..8)) {
        let mut bytes = samples().swap_remove(which).1;
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        survive(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(which in 0..22_usize, tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        // Signatures first, without which nothing is reached.
        let mut bytes = samples().get(which).map_or_else(Vec::new, |(_, bytes)| bytes[..16].to_vec());
        bytes.extend(tail);
        survive(&bytes);
    }
}
