//! `adapter_config.json` of `adapters`: what kind of adapter it is, and where it sits.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::backbone::Activation;
use crate::import::pack::refused::{Refused, told};

/// Most parts of a union.
const MOST_PARTS: usize = 16;

/// One part of a configuration.
pub(super) enum Part {
    Bottleneck(Bottleneck),
    Lora(Lora),
    Prefix(Prefix),
}

/// Adapters with a hidden layer.
pub(super) struct Bottleneck {
    pub(super) place: Place,
    pub(super) activation: Activation,
    /// Where it is a number; else it is a tensor.
    pub(super) scaling: Option<f64>,
    pub(super) is_hypercomplex: bool,
}

/// Where adapters sit in a ViT, whose additions no norm follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind attention and MLP, before the residual additions.
    Branches,
    /// On the block's output.
    Output,
    /// Beside the MLP.
    BesideMlp,
}

/// LoRA beside linear layers.
pub(super) struct Lora {
    pub(super) rank: f64,
    pub(super) scale: f64,
}

/// Keys and values before those of the tokens.
pub(super) struct Prefix {
    pub(super) length: usize,
    /// Whether the file holds keys and values themselves.
    pub(super) is_flat: bool,
    pub(super) activation: Squash,
    /// Blocks without a prefix.
    pub(super) leave_out: Vec<usize>,
}

/// The non-linearity of the MLP that makes a prefix.
#[derive(Clone, Copy, Debug)]
pub(super) enum Squash {
    Tanh,
    Relu,
}

impl Squash {
    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lora(_) => "LoRA",
            Self::Prefix(_) => "prefix tuning",
            Self::Bottleneck(Bottleneck { is_hypercomplex: true, .. }) => "Compacter",
            Self::Bottleneck(Bottleneck { place: Place::Branches, .. }) => {
                "adapters behind attention and MLP"
            }
            Self::Bottleneck(Bottleneck { place: Place::Output, .. }) => "adapters on each block's output",
            Self::Bottleneck(Bottleneck { place: Place::BesideMlp, .. }) => "adapters beside the MLP",
        })
    }
}

/// A configuration, and where it was read.
struct Fields<'a> {
    path: &'a Path,
    json: &'a Value,
}

/// Reads the configuration: one part, or those of a union.
pub(super) fn read(path: &Path, json: &Value) -> Result<Vec<Part>, Refused> {
    let model = json["model_type"].as_str().unwrap_or("nothing");
    if model != "vit" {
        return Err(Refused::key(
            path,
            "model_type",
            format!("is {}; adapters of vit are read", told(model)),
        ));
    }
    let config = &json["config"];
    if !config.is_object() {
        return Err(Refused::key(path, "config", "expected the fields of a configuration"));
    }
    let fields = |json| Fields { path, json };
    if config["architecture"] != "union" {
        return Ok(vec![fields(config).part()?]);
    }
    let parts = config["configs"].as_array().filter(|parts| (1..=MOST_PARTS).contains(&parts.len()));
    let parts = parts.ok_or_else(|| Refused::key(path, "configs", "expected the parts of a union"))?;
    parts.iter().map(|part| fields(part).part()).collect()
}

impl Fields<'_> {
    fn refuse(&self, key: &str, reason: impl fmt::Display) -> Refused {
        Refused::key(self.path, key, reason)
    }

    fn is(&self, key: &str) -> bool {
        self.json[key] == true
    }

    /// Refuses a setting that is on.
    fn off(&self, key: &str, reason: &str) -> Result<(), Refused> {
        match &self.json[key] {
            Value::Null | Value::Bool(false) => Ok(()),
            _ => Err(self.refuse(key, reason)),
        }
    }

    fn number(&self, key: &str) -> Result<f64, Refused> {
        let value = self.json[key].as_f64().filter(|value| value.is_finite());
        value.ok_or_else(|| self.refuse(key, "expected a number"))
    }

    fn part(&self) -> Result<Part, Refused> {
        self.off("use_gating", "a gate that reads the tokens: no form has one")?;
        match &self.json["architecture"] {
            Value::Null => self.bottleneck().map(Part::Bottleneck),
            Value::String(name) if name == "lora" => self.lora().map(Part::Lora),
            Value::String(name) if name == "prefix_tuning" => self.prefix().map(Part::Prefix),
            Value::String(name) => {
                let reason =
                    format!("is {}; bottleneck adapters, lora and prefix_tuning are read", told(name));
                Err(self.refuse("architecture", reason))
            }
            _ => Err(self.refuse("architecture", "expected a name")),
        }
    }

    fn prefix(&self) -> Result<Prefix, Refused> {
        let activation = match self.json["non_linearity"].as_str() {
            Some("tanh") => Squash::Tanh,
            Some("relu") => Squash::Relu,
            other => {
                let reason = format!("is {}; tanh and relu are read", told(other.unwrap_or("nothing")));
                return Err(self.refuse("non_linearity", reason));
            }
        };
        let leave_out = match &self.json["leave_out"] {
            Value::Null => Some(Vec::new()),
            Value::Array(blocks) => {
                blocks.iter().map(|block| block.as_u64().map(|block| block as usize)).collect()
            }
            _ => None,
        };
        let length = self.json["prefix_length"].as_u64().filter(|length| *length > 0);
        Ok(Prefix {
            length: length.ok_or_else(|| self.refuse("prefix_length", "expected 1 or more"))? as usize,
            is_flat: self.is("flat"),
            activation,
            leave_out: leave_out
                .ok_or_else(|| self.refuse("leave_out", "expected a list of block numbers"))?,
        })
    }

    fn lora(&self) -> Result<Lora, Refused> {
        self.off("use_dora", "DoRA scales the base's weights; packs only add to what layers give")?;
        self.off("vera_d", "VeRA's matrices are not in the pack")?;
        self.off("vera_b", "VeRA's matrices are not in the pack")?;
        if self.json["composition_mode"] != "add" {
            return Err(self.refuse("composition_mode", "expected add: (IA)³ scales what layers give"));
        }
        let rank = self.number("r")?;
        Ok(Lora { rank, scale: self.number("alpha")? / rank })
    }

    fn bottleneck(&self) -> Result<Bottleneck, Refused> {
        let own_norm = "a norm of the adapter's own: no form has one";
        for (key, reason) in [
            ("ln_before", own_norm),
            ("ln_after", own_norm),
            ("adapter_residual_before_ln", "the residual addition is at a place that is not read"),
            ("inv_adapter", "an invertible adapter on the embedding has no place"),
            ("shared_W_phm", "weights that all layers share are not read"),
            ("factorized_phm_rule", "a factorised rule is not read"),
        ] {
            self.off(key, reason)?;
        }
        Ok(Bottleneck {
            place: self.place()?,
            activation: self.activation()?,
            scaling: self.scaling()?,
            is_hypercomplex: self.is("phm_layer"),
        })
    }

    fn place(&self) -> Result<Place, Refused> {
        let (after_attention, parallel) = (self.is("mh_adapter"), self.is("is_parallel"));
        let (before, after) = (self.is("residual_before_ln"), self.is("original_ln_after"));
        if !self.is("output_adapter") {
            return Err(
                self.refuse("output_adapter", "is off; adapters behind the attention alone are not read")
            );
        }
        let refuse = |reason| Err(self.refuse("mh_adapter", reason));
        match (parallel, self.is("original_ln_before")) {
            (true, _) if after_attention => refuse("an adapter beside the attention is not read"),
            (false, true) if after_attention => {
                refuse("an adapter between the first residual addition and the second norm has no place")
            }
            // Behind the addition the adapter's residual is its input or the sub-layer's output: the sum is the same
            // as long as the two settings agree.
            (false, true) if before == after => Ok(Place::Output),
            (true, _) if before && after => Ok(Place::BesideMlp),
            (false, false) if before && after => Ok(Place::Branches),
            _ => {
                Err(self.refuse("residual_before_ln", "the residual addition is at a place that is not read"))
            }
        }
    }

    fn activation(&self) -> Result<Activation, Refused> {
        match self.json["non_linearity"].as_str() {
            Some("gelu" | "gelu_orig") => Ok(Activation::Gelu),
            Some("gelu_new") => Ok(Activation::GeluTanh),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("relu") => Ok(Activation::Relu),
            Some("swish" | "silu") => Ok(Activation::Silu),
            other => {
                let reason =
                    format!("is {}; gelu, relu and swish are read", told(other.unwrap_or("nothing")));
                Err(self.refuse("non_linearity", reason))
            }
        }
    }

    fn scaling(&self) -> Result<Option<f64>, Refused> {
        match &self.json["scaling"] {
            Value::Null => Ok(Some(1.0)),
            Value::String(kind) if ["channel", "learned"].contains(&kind.as_str()) => Ok(None),
            _ => self.number("scaling").map(Some),
        }
    }
}
