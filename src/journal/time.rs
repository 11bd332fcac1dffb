//! Times and days as text, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time to the microsecond, as RFC 3339 writes it.
pub fn text(at: Timestamp) -> String {
    format!("{}.{:06}Z", at.strftime("%Y-%m-%dT%H:%M:%S"), at.subsec_microsecond())
}

/// The UTC day of a time.
pub fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// Months since the year 0 of a day.
pub fn month(day: Date) -> i32 {
    i32::from(day.year()) * 12 + i32::from(day.month()) - 1
}

/// How long until the next whole multiple of `interval` since 1970, so that a day's end is a boundary.
pub fn until_boundary(at: Timestamp, interval: SignedDuration) -> SignedDuration {
    let (now, step) = (at.as_nanosecond(), interval.as_nanos().max(1));
    let left = step - now.rem_euclid(step);
    SignedDuration::from_nanos(i64::try_from(left).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back_and_days_end_at_midnight_utc() {
        let at: Timestamp = "2026-11-30T23:59:59.25Z".parse().unwrap();
        assert_eq!(text(at), "2026-11-30T23:59:59.250000Z");
        assert_eq!(text(at).parse::<Timestamp>().unwrap(), at);
        assert_eq!(day(at).to_string(), "2026-11-30");
        assert_eq!(until_boundary(at, SignedDuration::from_secs(1)), SignedDuration::from_millis(750));
        let next = at + SignedDuration::from_millis(750);
        assert_eq!((day(next).to_string(), month(day(next)) - month(day(at))), ("2026-12-01".into(), 1));
    }
}
