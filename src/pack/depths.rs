//! The depths that a pack's head reads.

use super::Error;
use crate::backbone::BackboneConfig;

/// Checks that depths are the backbone's, ascending, and that the pack has no modules beside them.
///
/// # Errors
/// With the first depth that cannot be, or the number of modules.
pub(super) fn check_depths(depths: &[usize], modules: usize, backbone: &BackboneConfig) -> Result<(), Error> {
    let refuse = |value: String, reason: String| Err(Error::field("depths", value, reason));
    let last = backbone.depth();
    if let Some(depth) = depths.iter().find(|depth| !(1..=last).contains(*depth)) {
        return refuse(depth.to_string(), format!("expected 1 to {last}, the backbone's blocks"));
    }
    if let Some(pair) = depths.windows(2).find(|pair| pair[0] >= pair[1]) {
        return refuse(format!("{}, {}", pair[0], pair[1]), "expected each once, ascending".into());
    }
    if !depths.is_empty() && modules > 0 {
        let told = depths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        return refuse(told, format!("a head of depths stands alone, and the pack has {modules} module(s)"));
    }
    Ok(())
}
