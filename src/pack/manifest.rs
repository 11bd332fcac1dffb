//! `adapter_config.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::decision::threshold;
use super::depths::check_depths;
use super::{
    Decision, Error, FORMAT_VERSION, Factorised, NEWEST_FORMAT_VERSION, PEFT_TYPE, ProblemType, StoredBits,
};
use crate::backbone::{Activation, BackboneConfig, Form, Module, ModuleSet, Precision, Site};
use crate::image::{DECODER_VERSION, Preprocessing};

/// Version of the format that added other modules than adapters, and other heads than of classes.
const SECOND_FORMAT_VERSION: u32 = 2;
/// Version that added few bits a weight.
const THIRD_FORMAT_VERSION: u32 = 3;
/// Most classes a head may have.
const MAX_LABELS: usize = 100_000;

/// Everything about a pack but its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format_version: u32,
    /// Always `MIMI`.
    pub peft_type: String,
    /// Name of the backbone the pack was trained on.
    pub base_model_name_or_path: String,
    /// SHA-256 of that backbone's weights, hexadecimal.
    pub base_model_sha256: String,
    /// Non-linearity of the adapters.
    pub activation: Activation,
    /// Width of the adapter at each site that has one, by `blocks.{i}.{attn or mlp}`.
    pub adapter_widths: BTreeMap<String, usize>,
    /// Sites without an adapter.
    pub leave_out: Vec<String>,
    /// Width of every module other than adapters, by its name (see [`Module`]); 0 where the form has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, usize>,
    /// The method whose smaller tensors the pack keeps, to be expanded when it is loaded; none where the pack keeps what
    /// it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factorised: Option<Factorised>,
    /// Bits a weight, where matrices are kept at few.
    #[serde(default, skip_serializing_if = "StoredBits::is_full")]
    pub stored_bits: StoredBits,
    /// Numbers of blocks after which the head reads a feature, ascending; none where it reads the backbone's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depths: Vec<usize>,
    /// Class names, in the order of the head's rows.
    pub labels: Vec<String>,
    /// What the head's outputs mean; not written where it is what format 1 knows, like the next two.
    #[serde(default, skip_serializing_if = "ProblemType::is_single_label")]
    pub problem_type: ProblemType,
    /// Least score at which each label applies, in the order of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<f32>>,
    /// Highest probability below which an answer is only a guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstain_below: Option<f32>,
    /// How bytes become pixels.
    pub preprocessing: Preprocessing,
    /// Precision that the backbone ran at when the pack was trained; a server may run at another, with a warning.
    #[serde(default)]
    pub precision: Precision,
    /// Version of the image decoder that the pack was trained with ([`DECODER_VERSION`]); packs without the field had 1.
    #[serde(default = "first_decoder")]
    pub image_decoder: u32,
    /// SHA-256 of `adapter_model.safetensors`, hexadecimal.
    pub weights_sha256: String,
    /// The stored inputs and answers.
    pub self_test: SelfTestInfo,
    /// How the pack came to be.
    #[serde(default)]
    pub provenance: Provenance,
}

/// The self-test in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTestInfo {
    /// Number of stored images.
    pub images: usize,
    /// Largest allowed difference of a logit, relative to the largest stored one in magnitude.
    pub tolerance: f32,
}

/// How a pack came to be; for people, never for the server's decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Training method: `linear`, `mimi`, …
    #[serde(default)]
    pub method: String,
    /// What the images are and where they came from.
    #[serde(default)]
    pub dataset: String,
    /// Images trained on.
    #[serde(default)]
    pub train_images: usize,
    /// Images held out.
    #[serde(default)]
    pub validation_images: usize,
    /// Seed of every random choice.
    #[serde(default)]
    pub seed: u64,
    /// Accuracy on the held-out images, 0 to 1.
    #[serde(default)]
    pub validation_accuracy: f64,
    /// Everything else the method records (sigma, rho, epochs, accuracy per cycle, …).
    #[serde(default)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

fn first_decoder() -> u32 {
    1
}

impl Manifest {
    /// Warns if the pack was trained with another image decoder.
    ///
    /// The pack still serves: images of the self-test are PNG, whose pixels are the same in every version.
    pub fn decoder_warning(&self) -> Option<String> {
        let trained = self.image_decoder;
        (trained != DECODER_VERSION).then(|| {
            format!(
                "trained with image decoder {trained}, served with {DECODER_VERSION}: pixels of JPEG images differ by a few \
                 levels; `server eval` measures the effect on accuracy"
            )
        })
    }

    /// The oldest format that says all of this manifest.
    pub fn format_version_needed(&self) -> u32 {
        if !self.depths.is_empty() {
            return NEWEST_FORMAT_VERSION;
        }
        if !self.stored_bits.is_full() {
            return THIRD_FORMAT_VERSION;
        }
        let is_plain = self.decision().is_plain() && self.modules.is_empty() && self.factorised.is_none();
        if is_plain { FORMAT_VERSION } else { SECOND_FORMAT_VERSION }
    }

    /// The depths that the head reads.
    pub fn reading(&self) -> ModuleSet {
        ModuleSet::reading(self.depths.iter().copied())
    }

    /// How outputs become answers.
    pub fn decision(&self) -> Decision {
        let (thresholds, abstain_below) = (self.thresholds.clone(), self.abstain_below);
        Decision { problem: self.problem_type, thresholds, abstain_below }
    }

    /// Least score at which a label applies.
    pub fn threshold(&self, label: usize) -> f32 {
        threshold(self.thresholds.as_deref(), label)
    }

    /// Checks the manifest against the resident backbone and gives the width of each module.
    ///
    /// # Errors
    /// [`Error::Field`] with the impossible field, [`Error::OtherBackbone`].
    pub fn check(&self, backbone: &BackboneConfig) -> Result<BTreeMap<Module, usize>, Error> {
        self.check_format()?;
        if self.peft_type != PEFT_TYPE {
            return Err(Error::field("peft_type", &self.peft_type, format!("expected {PEFT_TYPE}")));
        }
        if self.base_model_sha256 != backbone.fingerprint {
            return Err(Error::OtherBackbone {
                pack_name: self.base_model_name_or_path.clone(),
                pack_sha256: self.base_model_sha256.clone(),
                name: backbone.name.clone(),
                sha256: backbone.fingerprint.clone(),
            });
        }
        self.check_settings(backbone)?;
        self.check_labels()?;
        self.stored_bits.check(self.factorised.is_some())?;
        self.decision().check(self.labels.len())?;
        let mut widths = self.check_sites(backbone)?;
        for (name, &width) in &self.modules {
            widths.insert(known_module(name, width, backbone)?, width);
        }
        check_depths(&self.depths, widths.len(), backbone)?;
        if let Some(factorised) = &self.factorised {
            factorised.kind(&widths, backbone)?;
        }
        let prompts = widths.iter().find(|(module, _)| module.form == Form::Prompts);
        match prompts.filter(|_| widths.len() > 1) {
            Some((module, width)) => {
                let reason = format!("prompts stand alone, and the pack has {} modules", widths.len());
                Err(Error::field("modules", format!("{module}: {width}"), reason))
            }
            None => Ok(widths),
        }
    }

    fn check_format(&self) -> Result<(), Error> {
        let (format, needed) = (self.format_version, self.format_version_needed());
        if !(FORMAT_VERSION..=NEWEST_FORMAT_VERSION).contains(&format) {
            let reason = format!("this server reads versions {FORMAT_VERSION} to {NEWEST_FORMAT_VERSION}");
            return Err(Error::field("format_version", format, reason));
        }
        if format < needed {
            // A server that reads only this format would answer something else.
            let reason = format!("the manifest says what only format {needed} has");
            return Err(Error::field("format_version", format, reason));
        }
        Ok(())
    }

    fn check_settings(&self, backbone: &BackboneConfig) -> Result<(), Error> {
        let (ours, theirs) = (backbone.activation(), self.activation);
        if theirs != ours {
            let value = format!("{theirs:?}");
            return Err(Error::field("activation", value, format!("this backbone's adapters have {ours:?}")));
        }
        let invalid = |e: crate::image::Error| {
            Error::field("preprocessing", self.preprocessing.image_size, e.to_string())
        };
        self.preprocessing.validate().map_err(invalid)?;
        let side = self.preprocessing.image_size;
        if side as usize != backbone.image_size() {
            let reason = format!("the backbone takes {} pixels a side", backbone.image_size());
            return Err(Error::field("preprocessing.image_size", side, reason));
        }
        let tolerance = self.self_test.tolerance;
        if self.self_test.images > 0 && !(tolerance > 0.0 && tolerance <= 0.1) {
            return Err(Error::field("self_test.tolerance", tolerance, "expected more than 0, at most 0.1"));
        }
        Ok(())
    }

    fn check_labels(&self) -> Result<(), Error> {
        let count = self.labels.len();
        if count == 0 || count > MAX_LABELS {
            return Err(Error::field("labels", count, format!("expected 1 to {MAX_LABELS} labels")));
        }
        let mut seen = BTreeSet::new();
        match self.labels.iter().find(|label| label.is_empty() || !seen.insert(label.as_str())) {
            Some(label) => Err(Error::field("labels", label, "is empty or listed twice")),
            None => Ok(()),
        }
    }

    fn check_sites(&self, backbone: &BackboneConfig) -> Result<BTreeMap<Module, usize>, Error> {
        let mut widths = BTreeMap::new();
        for (name, &width) in &self.adapter_widths {
            let site = known_site("adapter_widths", name, backbone)?;
            let limit = backbone.block_width(site.block) * 4;
            if width == 0 || width > limit {
                return Err(Error::field(
                    "adapter_widths",
                    format!("{name}: {width}"),
                    format!("expected 1 to {limit}"),
                ));
            }
            widths.insert(Module::adapter(site), width);
        }
        let left_out = self.leave_out.iter().map(|name| known_site("leave_out", name, backbone));
        let left_out = left_out.collect::<Result<BTreeSet<Site>, Error>>()?;
        let has_adapter = |site: &Site| widths.contains_key(&Module::adapter(*site));
        match backbone.sites().into_iter().find(|site| left_out.contains(site) == has_adapter(site)) {
            Some(site) => {
                let reason = "a site must be in exactly one of adapter_widths and leave_out";
                Err(Error::field("leave_out", site, reason))
            }
            None => Ok(widths),
        }
    }
}

fn known_site(field: &'static str, name: &str, backbone: &BackboneConfig) -> Result<Site, Error> {
    let site = Site::parse(name).filter(|site| backbone.sites().contains(site));
    site.ok_or_else(|| {
        Error::field(field, name, format!("this backbone has blocks 0 to {}", backbone.depth() - 1))
    })
}

/// The module of that name, which the backbone must have a place for.
fn known_module(name: &str, width: usize, backbone: &BackboneConfig) -> Result<Module, Error> {
    let refuse = |reason: String| Err(Error::field("modules", format!("{name}: {width}"), reason));
    let module = match Module::parse(name) {
        Some(module) if module.form != Form::Adapter => module,
        Some(_) => return refuse("an adapter belongs into adapter_widths".into()),
        None => return refuse("this server computes no such module".into()),
    };
    if let Some(reason) = backbone.refuses(module) {
        return refuse(reason);
    }
    let (least, most) = (usize::from(module.form.has_width()), backbone.widest(module));
    match (least..=most).contains(&width) {
        true => Ok(module),
        false => refuse(format!("expected a width of {least} to {most}")),
    }
}
