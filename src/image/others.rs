//! Formats that are known by their signatures and not decoded, so that an error can name them.

/// Brands of ISO's media container, and what they are called.
const BRANDS: &[(&[u8; 4], &str)] = &[
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"hevc", "HEIC"),
    (b"hevx", "HEIC"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
    (b"crx ", "Canon CR3"),
    (b"jp2 ", "JPEG 2000"),
    (b"qt  ", "QuickTime video"),
];

/// Beginnings of files, and what they are called.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
    (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
    (b"\xFF\x0A", "JPEG XL"),
    (b"II\xBC", "JPEG XR"),
    (b"8BPS", "PSD"),
    (b"\0\0\x01\0", "ICO"),
    (b"\0\0\x02\0", "CUR"),
    (b"icns", "ICNS"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\x8AMNG\r\n\x1A\n", "MNG"),
    (b"\x8BJNG\r\n\x1A\n", "JNG"),
    (b"FLIF", "FLIF"),
    (b"BPG\xFB", "BPG"),
    (b"FUJIFILMCCD-RAW", "Fujifilm RAF"),
    (b"SIMPLE  =", "FITS"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\x1AE\xDF\xA3", "WebM or Matroska video"),
    (b"\x1F\x8B", "gzip"),
    (b"PK\x03\x04", "ZIP"),
    (b"RIFF", "RIFF (WAV or AVI)"),
];

/// The name of a format that is not decoded; nothing if no signature fits.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        let brand = BRANDS.iter().find(|(brand, _)| bytes.get(8..12) == Some(&brand[..]));
        return Some(brand.map_or("MP4 video", |&(_, name)| name));
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("DICOM");
    }
    if let [b'P', b'1'..=b'7', space, ..] = bytes
        && space.is_ascii_whitespace()
    {
        return Some("PNM");
    }
    let found = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    found.map(|&(_, name)| name).or_else(|| markup(bytes))
}

/// SVG and HTML, behind a byte-order mark, spaces and an XML declaration.
fn markup(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let head = text[..text.len().min(1024)].to_ascii_lowercase();
    if !head.starts_with(b"<") {
        return None;
    }
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    if holds(b"<svg") {
        Some("SVG")
    } else if holds(b"<!doctype html") || holds(b"<html") {
        Some("HTML")
    } else {
        None
    }
}
