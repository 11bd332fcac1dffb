//! `config.json` of a backbone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    BlockRange, CvtConfig, Error, Form, Module, ModuleSet, Part, Shape, Site, SwinConfig, VitConfig,
};
use crate::files;
use crate::image::Preprocessing;

/// Version of the folder's layout; raised when an older server could misread a newer folder.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the description inside a backbone's folder.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights inside a backbone's folder.
pub const WEIGHTS_FILE: &str = "backbone.safetensors";
/// Name of the exported frozen graph inside a backbone's folder.
pub const ONNX_FILE: &str = "backbone.onnx";

/// Most keys of a prefix: every token of every row in the batch is multiplied with each.
pub const MOST_KEYS: usize = 256;
/// Most prompts: a row's attention grows with their square. VPT's authors try up to 200.
pub const MOST_PROMPTS: usize = 256;

/// The family a backbone belongs to, with its shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum Architecture {
    /// ViT, DeiT, CLIP vision tower, DINOv2.
    Vit(VitConfig),
    /// Swin (v1).
    Swin(SwinConfig),
    /// CvT.
    Cvt(CvtConfig),
}

impl Architecture {
    /// What the family tells of its shape.
    pub fn shape(&self) -> &dyn Shape {
        match self {
            Self::Vit(vit) => vit,
            Self::Swin(swin) => swin,
            Self::Cvt(cvt) => cvt,
        }
    }

    /// The family's word, as in `config.json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vit(_) => "vit",
            Self::Swin(_) => "swin",
            Self::Cvt(_) => "cvt",
        }
    }
}

/// Where a backbone came from. Nothing is computed from it, so that fields of later versions are passed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the file that was imported.
    pub file: String,
    /// SHA-256 of that file, hexadecimal.
    pub sha256: String,
    /// Naming the file used: `timm`, `hugging_face` or `onnx`.
    pub naming: String,
    /// Tensors of the file that are no part of the backbone (classifier heads, projections).
    pub left_out: Vec<String>,
    /// What was taken, line by line, and from where; none in folders that an earlier version wrote.
    #[serde(default)]
    pub taken: Vec<super::Taken>,
}

/// Everything about a backbone but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackboneConfig {
    /// Version of this layout.
    pub format_version: u32,
    /// The name packs refer to.
    pub name: String,
    /// SHA-256 of `backbone.safetensors`, hexadecimal: what ties a pack to its backbone.
    pub fingerprint: String,
    /// Family and shape.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// How bytes become pixels.
    pub preprocessing: Preprocessing,
    /// Where the weights came from.
    pub provenance: Provenance,
}

impl BackboneConfig {
    /// Reads and checks `config.json` of the folder `dir`.
    ///
    /// # Errors
    /// When the file is missing, is not a description, or describes something impossible.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(CONFIG_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let config: Self = serde_json::from_slice(crate::files::without_mark(&bytes))
            .map_err(|source| Error::Config { path, source })?;
        config.validate()?;
        Ok(config)
    }

    /// Writes `config.json` into `dir`, beside and renamed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(CONFIG_FILE);
        let text =
            serde_json::to_vec_pretty(self).map_err(|source| Error::Config { path: path.clone(), source })?;
        files::write_atomically(&path, &text).map_err(Error::io(&path))
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field that cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |field, value: String, reason: String| Err(Error::Invalid { field, value, reason });
        if self.format_version != FORMAT_VERSION {
            let reason = format!("this server reads version {FORMAT_VERSION}");
            return invalid("format_version", self.format_version.to_string(), reason);
        }
        self.architecture.shape().validate()?;
        if let Err(error) = self.preprocessing.validate() {
            return invalid("preprocessing", self.preprocessing.image_size.to_string(), error.to_string());
        }
        if self.preprocessing.image_size as usize != self.image_size() {
            let reason = format!("the backbone takes {} pixels a side", self.image_size());
            return invalid("preprocessing.image_size", self.preprocessing.image_size.to_string(), reason);
        }
        Ok(())
    }

    /// Side of the square input, pixels (S).
    pub fn image_size(&self) -> usize {
        self.architecture.shape().image_size()
    }

    /// Number of blocks (L).
    pub fn depth(&self) -> usize {
        self.architecture.shape().depth()
    }

    /// Every block.
    pub fn blocks(&self) -> BlockRange {
        BlockRange { start: 0, end: self.depth() }
    }

    /// Width of the tokens in `block` (D), the width of adapters there.
    pub fn block_width(&self, block: usize) -> usize {
        self.architecture.shape().block_width(block)
    }

    /// Tokens in `block` (N), which its adapters see.
    pub fn block_tokens(&self, block: usize) -> usize {
        self.architecture.shape().block_tokens(block)
    }

    /// Side of the patches that the first tokens are made of, pixels.
    pub fn patch_size(&self) -> usize {
        self.architecture.shape().patch_size()
    }

    /// What layer norms add to the variance (ε).
    pub fn layer_norm_eps(&self) -> f32 {
        self.architecture.shape().layer_norm_eps()
    }

    /// Width of the pooled feature a head reads.
    pub fn feature_width(&self) -> usize {
        self.architecture.shape().feature_width()
    }

    /// Non-linearity of adapters put on this backbone.
    pub fn activation(&self) -> super::Activation {
        self.architecture.shape().activation()
    }

    /// Shape of one row entering `block`: pixels before the first, hidden state elsewhere.
    ///
    /// # Shapes
    /// `[3, S, S]` or `[N, D]`, without the batch.
    pub fn input_shape(&self, block: usize) -> Vec<usize> {
        match block {
            0 => vec![3, self.image_size(), self.image_size()],
            _ => self.architecture.shape().hidden_shape(block),
        }
    }

    /// The sites of adapters, in order of computation.
    pub fn sites(&self) -> Vec<Site> {
        Site::of_adapters(self.blocks()).collect()
    }

    /// Adapters at all of them.
    pub fn adapters(&self) -> ModuleSet {
        ModuleSet::adapters(self.blocks())
    }

    /// The same forms at the same places in every block of `blocks`, where the backbone has the place.
    pub fn spread(&self, modules: ModuleSet, blocks: BlockRange) -> ModuleSet {
        modules.spread(blocks).filter(|module| self.refuses(module).is_none())
    }

    /// Why nothing computes a module on this backbone; none where it does.
    pub fn refuses(&self, module: Module) -> Option<String> {
        let shape = self.architecture.shape();
        match shape.place(module.site) {
            None => Some(format!("the backbone {} has no place {}", self.name, module.site)),
            Some(_) => shape.refuses(module.form).map(|reason| format!("{}: {reason}", self.name)),
        }
    }

    /// What flows through a site; none where the backbone has no such place.
    pub fn place(&self, site: Site) -> Option<super::PlaceShape> {
        self.architecture.shape().place(site)
    }

    /// Widest that a module may be: four times its place's width for hidden neurons, [`MOST_KEYS`] and [`MOST_PROMPTS`]; 0
    /// of a form without a width, and where the backbone has no such place.
    pub fn widest(&self, module: Module) -> usize {
        let width = self.place(module.site).map_or(0, |place| place.width());
        match module.form {
            Form::Prefix => MOST_KEYS,
            Form::Prompts => MOST_PROMPTS,
            form if form.has_width() => 4 * width,
            _ => 0,
        }
    }

    /// Shape of one tensor of a module that is `width` neurons wide; none where the backbone has no such place.
    ///
    /// # Shapes
    /// Matrices are `[in, out]`; anything else has a 1 before it, where a batch has rows. A mask is `[1, 1, 1, R]`.
    pub fn part_shape(&self, module: Module, part: Part, width: usize) -> Option<Vec<usize>> {
        let place = self.place(module.site)?;
        // An adapter, like every bypass of an output, reads what leaves the place.
        let input = match module.form {
            Form::Bypass { source: super::Source::Input, .. } => place.input,
            _ => place.width(),
        };
        Some(match part {
            Part::Down => vec![input, width],
            Part::DownBias => vec![1, width],
            Part::Up => vec![width, place.width()],
            Part::UpBias | Part::Scale => vec![1, place.width()],
            Part::Shift => [vec![1], place.output].concat(),
            Part::Keys | Part::Values => vec![1, width, place.width()],
            Part::Mask => vec![1, 1, 1, width],
            Part::Gate => vec![width, 1],
        })
    }

    /// Every tensor by name with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.architecture.shape().tensors()
    }

    /// Number of learned values.
    pub fn parameters(&self) -> u64 {
        self.architecture.shape().parameters()
    }
}

/// SHA-256 of `bytes`, hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
