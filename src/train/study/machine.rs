//! What makes a run.

use serde::{Deserialize, Serialize};

use crate::metrics::Cpu;

/// A program on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Those of its instructions that choose kernels.
    pub instructions: String,
    /// SHA-256 of the program's file; empty where nobody asked for it.
    pub program: String,
}

impl Machine {
    /// This machine, and a program that has this digest.
    pub fn here(program: &str) -> Self {
        let Cpu { model, features } = Cpu::here();
        Self { processor: model, instructions: features, program: program.to_owned() }
    }
}
