//! A tensor's values in JSON, nested or flat.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::http::encoded;
use crate::oip::{Data, Datatype};

/// Values in the order in which they stand.
#[derive(Debug, Default)]
pub(super) struct Elements {
    numbers: Vec<f64>,
    texts: Vec<String>,
}

impl Elements {
    /// The values as a tensor's: numbers as they are, strings as base64 of their bytes.
    ///
    /// # Errors
    /// What the values are instead, for people.
    pub(super) fn into_data(self, datatype: Datatype) -> Result<Data, String> {
        let Self { numbers, texts } = self;
        match datatype {
            Datatype::Bytes if numbers.is_empty() => {
                let decoded = texts.iter().enumerate().map(|(at, text)| {
                    encoded::decode(text).map_err(|reason| format!("string {at} is {reason}"))
                });
                decoded.collect::<Result<Vec<Bytes>, String>>().map(Data::Strings)
            }
            _ if !texts.is_empty() => Err(format!("a string stands among values of {datatype}")),
            Datatype::Fp32 => {
                let bytes: Vec<u8> =
                    numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
                Ok(Data::Fixed(bytes.into()))
            }
            Datatype::Uint8 => {
                let bytes = numbers.iter().map(|number| sample(*number)).collect::<Result<Vec<u8>, String>>();
                Ok(Data::Fixed(bytes?.into()))
            }
            Datatype::Bytes => Err("a number stands among strings".into()),
            other => Err(format!("{other}: values in JSON are taken of BYTES, UINT8 and FP32")),
        }
    }
}

fn sample(number: f64) -> Result<u8, String> {
    let sample = number as u8;
    if f64::from(sample) == number { Ok(sample) } else { Err(format!("{number}: expected 0 to 255")) }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        deserializer.deserialize_seq(Into { all: &mut all })?;
        Ok(all)
    }
}

/// Reads one value, or a list of them, into what has come.
struct Into<'a> {
    all: &'a mut Elements,
}

impl<'de> de::DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers or strings, or lists of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Into { all: &mut *self.all })?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.all.numbers.push(number);
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.all.texts.push(text.to_owned());
        Ok(())
    }
}
