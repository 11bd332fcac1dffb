//! BMP's runs of equal values, read as Pillow reads them: skipped pixels have the value 0.

/// Unpacks `size` values in rows of `width`, which begin at an even (`parity` 0) or odd place of the file. `None` when
/// there are fewer.
pub(super) fn unpack(
    mut body: &[u8],
    width: usize,
    size: usize,
    half: bool,
    parity: usize,
) -> Option<Vec<u8>> {
    let whole = body.len();
    let mut values = Vec::new();
    let mut x = 0;
    while values.len() < size {
        let Some((&[count, value], rest)) = body.split_first_chunk::<2>() else { break };
        body = rest;
        match (count, value) {
            (0, 0) => {
                values.resize(values.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Some((&[right, up], rest)) = body.split_first_chunk::<2>() else { break };
                body = rest;
                let skipped = usize::from(right) + usize::from(up) * width;
                values.resize(values.len() + skipped.min(size - values.len()), 0);
                x = values.len() % width;
            }
            (0, count) => {
                let used = usize::from(count).min(size - values.len());
                let stored = if half { used.div_ceil(2) } else { used };
                let Some((run, rest)) = body.split_at_checked(stored) else { break };
                match half {
                    true => values.extend((0..used).map(|nth| nibble(run[nth / 2], nth))),
                    false => values.extend_from_slice(run),
                }
                x += usize::from(count);
                let odd = (whole - rest.len() + parity) % 2;
                body = rest.get(odd..).unwrap_or_default();
            }
            (count, value) => {
                let used = usize::from(count).min(width.saturating_sub(x));
                values.extend((0..used).map(|nth| if half { nibble(value, nth) } else { value }));
                x += used;
            }
        }
    }
    values.truncate(size);
    (values.len() == size).then_some(values)
}

/// The high half of a byte, then the low one.
fn nibble(byte: u8, nth: usize) -> u8 {
    if nth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}
