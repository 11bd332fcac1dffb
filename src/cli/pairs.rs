//! Pairs as OpenTelemetry writes them: `NAME=VALUE,...`, percent-encoded.

use anyhow::{Result, anyhow};

/// Reads pairs. Values may be secrets: an error names their place alone.
pub(super) fn pairs(variable: &str, text: &str) -> Result<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate();
    let pair = |(at, part): (usize, &str)| {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| anyhow!("{variable}: part {} has no =; expected NAME=VALUE,...", at + 1))?;
        let value = decoded(value.trim())
            .ok_or_else(|| anyhow!("{variable}: the value of {name} is not percent-encoded text"))?;
        Ok((name.trim().to_owned(), value))
    };
    parts.map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_opentelemetry_writes_them() {
        let read = |text: &str| pairs("X", text);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("").ok(), Some(vec![]));
        assert_eq!(read("a=1, b = x%20y ,").ok(), Some(vec![pair("a", "1"), pair("b", "x y")]));
        for (wrong, told) in
            [("secret", "part 1"), ("a=1,b", "part 2"), ("a=%z9", "a"), ("a=%ff", "a"), ("a=%4", "a")]
        {
            let error = read(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }
}
