//! Numbers that no tensor shows, as published models have them.

use super::error::Error;
use super::ledger::{Ledger, Told};

/// Heads: as `sources` agree, else as the published models of that width have.
///
/// Tiny to Large (192 to 1024) have one for each 64 of width; SO400M (1152), Huge (1280), Giant (1408) and
/// Gigantic (1664) have 16. The rule holds for every ViT of timm 1.0.31 with these tensors but
/// `vit_base_patch16_gap_224`, whose weights were never published. Other widths differ from model to model.
pub(super) fn heads(
    ledger: &mut Ledger,
    sources: impl IntoIterator<Item = Option<Told<usize>>>,
    width: usize,
) -> Result<usize, Error> {
    const HEAD_WIDTH: usize = 64;
    const LARGE: usize = 1024;
    let usual = match width {
        1152 | 1280 | 1408 | 1664 => Some(16),
        1..=LARGE if width.is_multiple_of(HEAD_WIDTH) => Some(width / HEAD_WIDTH),
        _ => None,
    };
    let guess =
        usual.and_then(|heads| Told::guess(heads, format!("as published models of width {width} have")));
    ledger.settle("heads", sources, guess)?.ok_or_else(|| {
        let reason = format!("no file tells, and models of width {width} do not agree; give the number");
        Error::invalid("heads", "unknown", reason)
    })
}

/// The side of a square of `patches`.
pub(super) fn square(patches: usize) -> Option<usize> {
    let side = patches.isqrt();
    (side * side == patches).then_some(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: Option<usize>, told: Option<usize>, width: usize) -> Result<usize, Error> {
        heads(&mut Ledger::default(), [Told::flag(asked, "heads"), Told::config(told, "config.json")], width)
    }

    #[test]
    fn heads_are_those_of_the_published_models() {
        // timm 1.0.31: vit_tiny, small, base, large; so400m, huge, giant, gigantic.
        let published =
            [(192, 3), (384, 6), (768, 12), (1024, 16), (1152, 16), (1280, 16), (1408, 16), (1664, 16)];
        for (width, expected) in published {
            assert_eq!(of(None, None, width).unwrap(), expected, "width {width}");
        }
    }

    #[test]
    fn heads_of_other_widths_must_be_told_and_told_alike() {
        // 1536: DINOv2's giant has 24, SigLIP 2's giant 16.
        for width in [0, 48, 1536, 2048] {
            assert!(of(None, None, width).is_err(), "width {width}");
        }
        assert_eq!(of(None, Some(24), 1536).unwrap(), 24);
        assert_eq!(of(Some(24), Some(24), 1536).unwrap(), 24);
        let error = of(Some(16), Some(24), 1536).unwrap_err().to_string();
        assert!(error.contains("--heads says 16") && error.contains("config.json says 24"), "{error}");
    }
}
