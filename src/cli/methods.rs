//! Methods, sets of images and seeds, as typed after `compare`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use mimi_server::train::Adaptation;
use mimi_server::train::study::{Budget, Entrant, Settings};

/// Every method but the ablations.
const ALL: &str = "all";
/// Those that are no adaptation.
const OTHERS: [&str; 7] = ["linear", "depth-head", "mimi", "mimi:adapter-plus", "full", "attention", "mlp"];
/// Epochs of every method.
const EPOCHS: usize = 100;

/// Options of a comparison of methods.
#[derive(Debug, Args)]
#[command(next_help_heading = "Methods")]
pub struct MethodsArgs {
    /// Methods to compare instead of contenders: those of train-task, "mimi:" and an adaptation whose neurons it
    /// prunes, proportional (adapters of the size that MiMi ends with), the contenders from uniform on, or all, which
    /// leaves out what does not fit. All train for as many steps, each by its own recipe.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", conflicts_with = "contenders")]
    pub methods: Vec<String>,
    /// Steps of every method, MiMi's trainings together, rounded to whole epochs. Default: 100 epochs, or
    /// --epochs, which counts them together too.
    #[arg(long, value_name = "COUNT", requires = "methods", conflicts_with = "epochs")]
    pub steps: Option<usize>,
    /// JSON file of settings that replace recipes: {"lora": {"learning_rate": 0.003, "rank": 4}}. See
    /// docs/comparing.md.
    #[arg(long = "settings", value_name = "FILE", requires = "methods")]
    pub settings_file: Option<PathBuf>,
    /// Choose learning rate and weight decay on a fifth of the training images, then train on all.
    #[arg(long, requires = "methods")]
    pub tune: bool,
}

impl MethodsArgs {
    /// Names of the methods, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let every = || OTHERS.into_iter().chain(Adaptation::all().map(|known| known.name()));
        for name in &self.methods {
            let meant = if name == ALL { every().map(str::to_owned).collect() } else { vec![name.clone()] };
            names.extend(meant);
        }
        let mut kept: Vec<String> = Vec::new();
        names.retain(|name| {
            let is_new = !kept.contains(name);
            kept.push(name.clone());
            is_new
        });
        names
    }

    /// How long methods train.
    pub fn budget(&self, epochs: Option<usize>) -> Budget {
        self.steps.map_or(Budget::Epochs(epochs.unwrap_or(EPOCHS)), Budget::Steps)
    }

    /// What replaces recipes.
    ///
    /// # Errors
    /// When the file cannot be read, or names what does not exist.
    pub fn settings(&self) -> Result<BTreeMap<String, Settings>> {
        let Some(path) = &self.settings_file else { return Ok(BTreeMap::new()) };
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Entrant::settings(&text).with_context(|| path.display().to_string())
    }
}

/// A folder of images, with a name of its own or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name, if one was given.
    pub name: Option<String>,
    /// The folder.
    pub path: PathBuf,
}

impl Named {
    /// Reads `NAME=DIR` or `DIR`; what exists as a whole is a folder.
    pub fn read(typed: OsString) -> Result<Self, Infallible> {
        let parts = typed.to_str().and_then(|text| text.split_once('='));
        Ok(match parts.filter(|_| !PathBuf::from(&typed).exists()) {
            Some((name, path)) => Self { name: Some(name.to_owned()), path: path.into() },
            None => Self { name: None, path: typed.into() },
        })
    }

    /// The name, or the folder's.
    pub fn told(&self) -> String {
        let folder = || self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(folder)
    }
}

/// Seeds: a count, or a list with a comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.trim().parse::<u64>().map_err(|error| format!("{part:?}: {error}"));
        let seeds: Vec<u64> = match text.contains(',') {
            false => (0..number(text)?).collect(),
            true => text.split(',').filter(|part| !part.is_empty()).map(number).collect::<Result<_, _>>()?,
        };
        let different: BTreeSet<&u64> = seeds.iter().collect();
        match seeds.is_empty() || different.len() < seeds.len() {
            true => Err(format!("{text:?}: expected at least one seed, each once")),
            false => Ok(Self(seeds)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_list() {
        assert_eq!("3".parse(), Ok(Seeds(vec![0, 1, 2])));
        assert_eq!("4,1".parse(), Ok(Seeds(vec![4, 1])));
        assert_eq!("7,".parse(), Ok(Seeds(vec![7])));
        for bad in ["a,1", "1,1", "0", ","] {
            assert!(bad.parse::<Seeds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_of_images_may_have_a_name() {
        let read = |typed: &str| Named::read(typed.into()).unwrap();
        let named = read("flowers=a/b");
        assert_eq!((named.told(), named.path), ("flowers".into(), PathBuf::from("a/b")));
        assert_eq!(read("a/b").told(), "b");
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("a=b");
        fs::create_dir(&whole).unwrap();
        assert_eq!(read(whole.to_str().unwrap()).path, whole);
    }
}
