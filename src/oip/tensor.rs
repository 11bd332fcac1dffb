//! A tensor: a name, what its elements are, how many in each direction, and their values.

use bytes::{BufMut, Bytes, BytesMut};

use super::Datatype;
use crate::service::Error;
use crate::text::brief;

/// Most directions of a tensor.
const MAX_RANK: usize = 8;
/// Bytes of a string's length before it.
const LENGTH: usize = 4;

/// Values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Elements of fixed size, little-endian, one behind the other.
    Fixed(Bytes),
    /// Strings, where the datatype is BYTES.
    Strings(Vec<Bytes>),
}

/// A tensor whose values fit its shape and its datatype.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    datatype: Datatype,
    shape: Vec<u64>,
    data: Data,
}

impl Tensor {
    /// Puts a tensor together.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the values are more or fewer than the shape says, or of another kind than the datatype.
    pub fn new(name: &str, datatype: Datatype, shape: Vec<u64>, data: Data) -> Result<Self, Error> {
        let count = elements(name, &shape)?;
        match (datatype.size(), &data) {
            (Some(size), Data::Fixed(bytes)) => {
                let wanted = count.checked_mul(size as u64);
                if wanted != Some(bytes.len() as u64) {
                    let told = wanted.map_or_else(|| "too many to count".into(), |n| n.to_string());
                    let got = bytes.len();
                    return refuse(
                        name,
                        format!("{datatype} of shape {shape:?} takes {told} bytes, and {got} came"),
                    );
                }
            }
            (None, Data::Strings(strings)) if strings.len() as u64 != count => {
                let got = strings.len();
                return refuse(name, format!("shape {shape:?} has {count} elements, and {got} came"));
            }
            (None, Data::Strings(_)) => {}
            (Some(_), Data::Strings(_)) => return refuse(name, format!("strings came for {datatype}")),
            (None, Data::Fixed(_)) => return refuse(name, format!("numbers came for {datatype}")),
        }
        Ok(Self { name: name.to_owned(), datatype, shape, data })
    }

    /// Reads a tensor out of its binary form, in which a string stands behind its length of four bytes.
    ///
    /// # Errors
    /// As [`Tensor::new`], and when a string's length reaches beyond the bytes.
    pub fn of_binary(name: &str, datatype: Datatype, shape: Vec<u64>, bytes: Bytes) -> Result<Self, Error> {
        let data = match datatype.size() {
            Some(_) => Data::Fixed(bytes),
            None => Data::Strings(strings(name, bytes, elements(name, &shape)?)?),
        };
        Self::new(name, datatype, shape, data)
    }

    /// A tensor of 32-bit floats.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn of_floats(name: &str, shape: Vec<u64>, values: &[f32]) -> Result<Self, Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, Datatype::Fp32, shape, Data::Fixed(bytes.into()))
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn of_strings(name: &str, shape: Vec<u64>, strings: Vec<Bytes>) -> Result<Self, Error> {
        Self::new(name, Datatype::Bytes, shape, Data::Strings(strings))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the elements are.
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// How many elements in each direction.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The values of 32-bit floats; none of any other datatype.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let Data::Fixed(bytes) = &self.data else { return None };
        let (chunks, _) = bytes.as_chunks::<4>();
        (self.datatype == Datatype::Fp32)
            .then(|| chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    /// The binary form.
    pub fn to_binary(&self) -> Bytes {
        match &self.data {
            Data::Fixed(bytes) => bytes.clone(),
            Data::Strings(strings) => {
                let length = strings.iter().map(|string| LENGTH + string.len()).sum();
                let mut all = BytesMut::with_capacity(length);
                for string in strings {
                    // A tensor's strings came with such a length, or are labels.
                    all.put_u32_le(u32::try_from(string.len()).unwrap_or(u32::MAX));
                    all.put_slice(string);
                }
                all.freeze()
            }
        }
    }
}

/// How many elements a shape has.
///
/// # Errors
/// [`Error::Invalid`] when there are more than can be counted, or too many directions.
fn elements(name: &str, shape: &[u64]) -> Result<u64, Error> {
    if shape.len() > MAX_RANK {
        return refuse(
            name,
            format!("its shape has {} directions; at most {MAX_RANK} are taken", shape.len()),
        );
    }
    let count = shape.iter().try_fold(1u64, |count, side| count.checked_mul(*side));
    count.map_or_else(|| refuse(name, format!("shape {shape:?} has more elements than can be counted")), Ok)
}

/// Most strings of a tensor: each takes memory beside its bytes.
const MAX_STRINGS: u64 = 1 << 16;

/// Strings out of their binary form; `count` of them are expected.
fn strings(name: &str, mut bytes: Bytes, count: u64) -> Result<Vec<Bytes>, Error> {
    // Each takes at least its length: a count says nothing of how many came.
    let most = bytes.len() / LENGTH;
    if count > most as u64 {
        return refuse(name, format!("{count} strings cannot stand in {} bytes", bytes.len()));
    }
    if count > MAX_STRINGS {
        return refuse(name, format!("{count} strings: at most {MAX_STRINGS} are taken"));
    }
    let mut strings = Vec::with_capacity(usize::try_from(count).unwrap_or(most).min(most));
    while !bytes.is_empty() {
        let at = strings.len();
        let Some((length, _)) = bytes.split_first_chunk::<LENGTH>() else {
            return refuse(name, format!("string {at} has no length: {} bytes are left", bytes.len()));
        };
        let length = u32::from_le_bytes(*length) as usize;
        let rest = bytes.len() - LENGTH;
        if length > rest || at as u64 == count {
            return refuse(
                name,
                format!("string {at} has {length} bytes, and {rest} are left of {count} strings"),
            );
        }
        let _ = bytes.split_to(LENGTH);
        strings.push(bytes.split_to(length));
    }
    Ok(strings)
}

/// What is wrong with a tensor.
pub fn wrong(name: &str, reason: impl AsRef<str>) -> Error {
    Error::Invalid(format!("tensor {:?}: {}", brief(name), reason.as_ref()))
}

/// A refusal of a tensor.
pub(super) fn refuse<T>(name: &str, reason: impl AsRef<str>) -> Result<T, Error> {
    Err(wrong(name, reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_numbers() {
        let fixed = |n| Data::Fixed(vec![0; n].into());
        for (datatype, shape, data, words) in [
            (Datatype::Fp32, vec![2, 2], fixed(12), "takes 16 bytes, and 12 came"),
            (Datatype::Fp32, vec![u64::MAX, 2], fixed(0), "more elements than can be counted"),
            (Datatype::Fp64, vec![1 << 62], fixed(0), "takes too many to count bytes"),
            (Datatype::Uint8, vec![1; 9], fixed(1), "9 directions"),
            (Datatype::Bytes, vec![2], Data::Strings(vec![Bytes::new()]), "has 2 elements, and 1 came"),
            (Datatype::Bytes, vec![1], fixed(1), "numbers came for BYTES"),
            (Datatype::Uint8, vec![1], Data::Strings(vec![]), "strings came for UINT8"),
        ] {
            let error = Tensor::new("x", datatype, shape, data).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn strings_never_reach_beyond_their_bytes() {
        let read = |shape: u64, bytes: &[u8]| {
            Tensor::of_binary("x", Datatype::Bytes, vec![shape], Bytes::copy_from_slice(bytes))
        };
        assert!(read(1, &[2, 0, 0, 0, 7, 8]).is_ok());
        for (shape, bytes) in [
            (1, &[3, 0, 0, 0, 7, 8][..]),
            (1, &[255, 255, 255, 255]),
            (1, &[0, 0]),
            (2, &[0, 0, 0, 0]),
            (1, &[0, 0, 0, 0, 0, 0, 0, 0]),
            (u64::MAX, &[0, 0, 0, 0]),
            (0, &[0]),
        ] {
            assert!(read(shape, bytes).is_err(), "{shape} {bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let strings: Vec<Bytes> = strings.into_iter().map(Bytes::from).collect();
            let tensor = Tensor::of_strings("x", vec![strings.len() as u64], strings).unwrap();
            let again = Tensor::of_binary("x", Datatype::Bytes, tensor.shape().to_vec(), tensor.to_binary());
            prop_assert_eq!(again.unwrap(), tensor);
        }
    }
}
