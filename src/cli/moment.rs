//! Points in time as they are typed.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A day, which is its midnight UTC, or an RFC 3339 time.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10).and_then(midnight);
    let told = || "expected a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z".into();
    day.or_else(|| text.parse().ok()).ok_or_else(told)
}

/// When a UTC day begins.
pub(super) fn midnight(day: Date) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read_and_nothing_else() {
        assert_eq!(moment("2027-01-31"), moment("2027-01-31T00:00:00Z"));
        assert_eq!(moment("2027-01-31T02:00:00+02:00"), moment("2027-01-31"));
        for text in ["", "2027", "2027-1-31", "2027-02-30", "2027-01-31T12:00", "20270131", "tomorrow"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
