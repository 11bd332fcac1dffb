//! How long a client waits: the metadata `grpc-timeout`.

use std::time::Duration;

/// Longest deadline that counts; a longer one is as this one.
const MOST: Duration = Duration::from_secs(600);
/// Most digits, by the protocol.
const DIGITS: usize = 8;

/// Reads `grpc-timeout`: at most eight digits and a unit.
///
/// # Errors
/// What was expected instead.
pub(super) fn read(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("grpc-timeout = {text:?}: expected 1 to {DIGITS} digits and one of H, M, S, m, u, n");
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let is_number = (1..=DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    let time = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(wrong()),
    };
    Ok(time.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_protocols() {
        for (text, time) in [
            ("1S", Duration::from_secs(1)),
            ("99999999H", MOST),
            ("2M", Duration::from_secs(120)),
            ("250m", Duration::from_millis(250)),
            ("00000007u", Duration::from_micros(7)),
            ("5n", Duration::from_nanos(5)),
        ] {
            assert_eq!(read(text), Ok(time), "{text}");
        }
        for wrong in ["", "S", "1", "1s", "123456789S", "-1S", "+1S", "1.5S", " 1S", "1é", "é"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
