//! Where programs run.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// The processor that runs programs. There is no fallback from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Device {
    /// The machine's own cores.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by number.
    Cuda(i32),
}

impl Device {
    /// Whether it has memory of its own, apart from the host's.
    pub fn is_apart(self) -> bool {
        self != Self::Cpu
    }

    /// Several, as they are typed.
    pub fn names(devices: &[Self]) -> String {
        devices.iter().map(Self::to_string).collect::<Vec<_>>().join(",")
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevice(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => match number.parse() {
                Ok(number) if number >= 0 => Ok(Self::Cuda(number)),
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_and_nothing_else_is() {
        let parse = |text: &str| text.parse::<Device>().ok();
        assert_eq!(parse("cpu"), Some(Device::Cpu));
        assert_eq!(parse("cuda"), Some(Device::Cuda(0)));
        assert_eq!(parse("cuda:3"), Some(Device::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CUDA"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
