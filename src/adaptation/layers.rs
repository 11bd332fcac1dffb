//! The layers that methods of features change.

use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Place, Site};

/// Every embedding, norm and linear layer.
const LAYERS: [Place; 10] = [
    Place::Tokens,
    Place::TokensNorm,
    Place::Norm1,
    Place::Q,
    Place::K,
    Place::V,
    Place::Proj,
    Place::Norm2,
    Place::Fc1,
    Place::Fc2,
];

/// A form at each of them, in every block that has it.
pub(super) fn everywhere(config: &BackboneConfig, form: Form) -> ModuleSet {
    let sites = config.blocks().iter().flat_map(|block| LAYERS.map(|place| Site::new(block, place)));
    let modules = sites.map(|site| Module { site, form });
    modules.filter(|module| config.refuses(*module).is_none()).collect()
}
