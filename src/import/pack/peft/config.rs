//! `adapter_config.json` of PEFT: the method, and what of it changes what is computed.

use std::fmt;
use std::path::Path;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::import::pack::refused::Refused;

/// What every key of a tensor begins with.
pub(super) const START: &str = "base_model.model.";
/// Most patterns that are read.
const MOST_PATTERNS: usize = 1024;
/// Largest compiled pattern, bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Settings that change what is computed or which weights the base has, and why a pack cannot follow.
const REFUSED: [(&str, &str); 12] = [
    ("use_dora", "DoRA scales the columns of the base's weights; packs only add to what layers give"),
    ("use_qalora", "QA-LoRA pools what enters a layer; no form does"),
    ("use_bdlora", "block-diagonal matrices are not read"),
    ("lora_bias", "a LoRA with biases is not read"),
    ("alora_invocation_tokens", "it depends on tokens of a text"),
    ("layer_replication", "the base's blocks were repeated"),
    ("target_parameters", "parameters outside linear layers have no place"),
    ("trainable_token_indices", "rows of an embedding of text have no place"),
    ("arrow_config", "a router chooses among adapters for each token; no form does"),
    ("kasa_config", "the base's weights were changed (KaSA)"),
    ("corda_config", "the base's weights were changed (CorDA)"),
    ("lora_ga_config", "the base's weights were changed (LoRA-GA)"),
];
/// Settings of this kind that change nothing once training is over.
const HARMLESS: [&str; 2] = ["eva_config", "megatron_config"];
/// Initialisations that leave the base's weights as they are.
const PLAIN: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// A method that is read.
pub(super) enum Method {
    Lora(Lora),
    Vera,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lora(_) => "LoRA",
            Self::Vera => "VeRA",
        })
    }
}

/// What the scale of a LoRA is made of.
pub(super) struct Lora {
    rank: f64,
    alpha: f64,
    rank_patterns: Patterns,
    alpha_patterns: Patterns,
    is_rank_stabilised: bool,
}

/// Numbers for the modules whose names end with an expression.
struct Patterns(Vec<(Regex, f64)>);

impl Patterns {
    /// The first pattern that matches counts, as in PEFT.
    fn of(&self, module: &str) -> Option<f64> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(module)).map(|(_, value)| *value)
    }
}

impl Lora {
    /// The rank a module must have.
    pub(super) fn rank(&self, module: &str) -> f64 {
        self.rank_patterns.of(module).unwrap_or(self.rank)
    }

    /// What a module's product is multiplied by.
    pub(super) fn scale(&self, module: &str) -> f64 {
        let (rank, alpha) = (self.rank(module), self.alpha_patterns.of(module).unwrap_or(self.alpha));
        alpha / if self.is_rank_stabilised { rank.sqrt() } else { rank }
    }
}

/// Reads the configuration.
pub(super) fn read(path: &Path, json: &Value) -> Result<Method, Refused> {
    let refuse = |key: &str, reason: &str| Err(Refused::key(path, key, reason));
    let Some(fields) = json.as_object() else { return refuse("", "expected an object") };
    refuse_settings(path, fields)?;
    match json["peft_type"].as_str() {
        Some("LORA") => Ok(Method::Lora(lora(path, json)?)),
        Some("VERA") if json["save_projection"] == false => {
            refuse("save_projection", "is off: the matrices A and B are not in the pack")
        }
        Some("VERA") => Ok(Method::Vera),
        other => {
            let other = other.unwrap_or("nothing");
            Err(Refused::key(path, "peft_type", format!("is {other}; LORA and VERA are read")))
        }
    }
}

/// Refuses settings that are known to change the computation, and those of their kind that are not known.
fn refuse_settings(path: &Path, fields: &Map<String, Value>) -> Result<(), Refused> {
    for (name, value) in fields.iter().filter(|(_, value)| is_set(value)) {
        let unknown = name.starts_with("use_") || name.ends_with("_config");
        let known = REFUSED.iter().find(|(refused, _)| refused == name).map(|(_, why)| *why);
        let reason = match known {
            Some(why) => why,
            None if name == "use_rslora" || HARMLESS.contains(&name.as_str()) => continue,
            None if name == "bias" && value != "none" => {
                "the base's own biases were trained; packs leave the base as it is"
            }
            None if name == "init_lora_weights" && !is_plain(value) => {
                "this initialisation changes the base's weights too"
            }
            None if unknown => "it is not known what this does to the answers",
            None => continue,
        };
        return Err(Refused::key(path, name, reason));
    }
    Ok(())
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}

fn is_plain(value: &Value) -> bool {
    value.is_boolean() || value.as_str().is_some_and(|name| PLAIN.contains(&name))
}

fn lora(path: &Path, json: &Value) -> Result<Lora, Refused> {
    let number = |key: &str| {
        let value = json[key].as_f64().filter(|value| value.is_finite());
        value.ok_or_else(|| Refused::key(path, key, "expected a number"))
    };
    Ok(Lora {
        rank: number("r")?,
        alpha: number("lora_alpha")?,
        rank_patterns: patterns(path, json, "rank_pattern")?,
        alpha_patterns: patterns(path, json, "alpha_pattern")?,
        is_rank_stabilised: json["use_rslora"] == true,
    })
}

fn patterns(path: &Path, json: &Value, key: &str) -> Result<Patterns, Refused> {
    let refuse = |reason: String| Refused::key(path, key, reason);
    let none = Map::new();
    let map = match &json[key] {
        Value::Null => &none,
        Value::Object(map) => map,
        _ => return Err(refuse("expected an object".into())),
    };
    if map.len() > MOST_PATTERNS {
        return Err(refuse(format!("{} patterns, more than the {MOST_PATTERNS} allowed", map.len())));
    }
    let pattern = |(pattern, value): (&String, &Value)| {
        let built =
            RegexBuilder::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).size_limit(PATTERN_BYTES).build();
        let value = value.as_f64().filter(|value| value.is_finite());
        let value = value.ok_or_else(|| refuse(format!("{pattern:.60}: expected a number")))?;
        Ok((
            built.map_err(|_| refuse(format!("{pattern:.60}: not an expression that is understood")))?,
            value,
        ))
    };
    Ok(Patterns(map.iter().map(pattern).collect::<Result<_, _>>()?))
}
