//! Messages with a bound on what they hold: an empty tensor takes two bytes of a message and two hundred of memory.

use std::marker::PhantomData;

use prost::Message;
use prost::encoding::decode_varint;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use super::status::refuse;
use crate::service::{Code, Refusal};

/// Most fields of a message, those of its tensors counted too. Elements of a packed field are one.
const MAX_FIELDS: usize = 16_384;
/// Fields of `ModelInferRequest` and what is in it that hold messages: inputs, requested outputs, contents.
const NESTED: [u64; 2] = [5, 6];
/// Packed lists, by how much deeper a message may be and their number: a tensor's shape, and contents of 64 bits. A byte of
/// theirs becomes eight.
const LISTS: [(usize, u64); 3] = [(2, 3), (1, 3), (1, 5)];
/// Longest such list, bytes: no tensor that is taken has contents of 64 bits.
const MAX_LIST: usize = 4096;
/// How deep they lie: a request, a tensor, its contents.
const DEPTH: usize = 3;

/// The codec of every message.
pub(crate) struct Bounded<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::raw_decoder(BufferSettings::default()))
    }
}

/// Counts fields before it decodes.
pub(crate) struct BoundedDecoder<D>(D);

impl<D: Decoder<Error = Status>> Decoder for BoundedDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        use prost::bytes::Buf;
        let mut left = MAX_FIELDS;
        // What cannot be counted is not decoded: decoders skip what they do not know, and go on.
        if count(message.chunk(), DEPTH, &mut left).is_none() {
            let told = match left {
                0 => format!(
                    "the message has more than {MAX_FIELDS} fields, or a list of 64-bit numbers of more than \
                     {MAX_LIST} bytes"
                ),
                _ => "the message is malformed, or has groups".to_owned(),
            };
            return Err(refuse(Refusal::new(Code::InvalidRequest, told)));
        }
        self.0.decode(message)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Takes the fields of a message from `left`; none where they are more, or malformed.
fn count(mut bytes: &[u8], depth: usize, left: &mut usize) -> Option<()> {
    while !bytes.is_empty() {
        *left = left.checked_sub(1)?;
        if *left == 0 {
            return None;
        }
        let tag = varint(&mut bytes)?;
        match tag & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            5 => bytes = bytes.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (field, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                if LISTS.contains(&(depth, tag >> 3)) && length > MAX_LIST {
                    *left = 0;
                    return None;
                }
                if depth > 1 && NESTED.contains(&(tag >> 3)) {
                    let before = *left;
                    if count(field, depth - 1, left).is_none() {
                        // Bytes may stand in a field of this number too: then as many as fields would take.
                        *left = before.saturating_sub(field.len() / 2).min(*left);
                        if *left == 0 {
                            return None;
                        }
                    }
                }
            }
            _ => return None,
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    decode_varint(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grpc::messages::ModelInferRequest;
    use crate::grpc::messages::model_infer_request::InferInputTensor;

    fn fields(bytes: &[u8]) -> Option<usize> {
        let mut left = MAX_FIELDS;
        count(bytes, DEPTH, &mut left).map(|()| MAX_FIELDS - left)
    }

    #[test]
    fn fields_of_tensors_count_too() {
        let tensor = InferInputTensor { name: "x".into(), shape: vec![1, 2, 3], ..Default::default() };
        let inputs = vec![tensor; 3];
        let message =
            ModelInferRequest { inputs, raw_input_contents: vec![vec![5; 9].into()], ..Default::default() };
        assert_eq!(fields(&message.encode_to_vec()), Some(3 * 3 + 1));
        let many =
            ModelInferRequest { inputs: vec![InferInputTensor::default(); MAX_FIELDS], ..Default::default() };
        assert_eq!(fields(&many.encode_to_vec()), None);
    }

    #[test]
    fn what_decoders_skip_hides_nothing() {
        let empty: Vec<u8> = [0x2a, 0x00].repeat(MAX_FIELDS);
        for before in [&[][..], &[0xa3, 0x06, 0xa4, 0x06], &[0x2a, 0x03, 0x32, 0x01, 0xff]] {
            assert_eq!(fields(&[before, &empty].concat()), None, "{before:?}");
        }
        let of = |shape: usize| {
            let inputs = vec![InferInputTensor { shape: vec![1; shape], ..Default::default() }];
            ModelInferRequest { inputs, ..Default::default() }.encode_to_vec()
        };
        assert!(fields(&of(8)).is_some() && fields(&of(MAX_LIST + 1)).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&bytes);
        }
    }
}
