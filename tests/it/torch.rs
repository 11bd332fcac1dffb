//! Any bytes as a file of `torch.save`: numbers or an error, never a panic, and nothing is executed.

use mimi_server::import::torch::{Error, Object, TorchFile, read_pickle};
use proptest::prelude::*;

use crate::support::fixtures;

pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

/// Reads everything there is; the number of tensors.
fn read_all(bytes: &[u8]) -> Result<usize, Error> {
    let mut file = TorchFile::open(bytes)?;
    let tree = file.tree().clone();
    let model = tree.find(&["model"]).unwrap_or(tree.root());
    let mut count = 0;
    for &(key, value) in tree.items(model).unwrap_or_default() {
        let Object::Text(name) = tree.get(key) else { continue };
        count += usize::from(file.numbers(name, tree.get(value))?.is_some());
    }
    Ok(count)
}

#[test]
fn both_formats_are_read() {
    let (pruned, vanilla) = (file("mimi_vit_pruned.pth"), file("mimi_vit_vanilla.pth"));
    assert!(pruned.starts_with(b"PK") && !vanilla.starts_with(b"PK"));
    // 57 tensors, and 12 masks more.
    assert_eq!(
        (read_all(&vanilla).unwrap() + 12, read_all(&vanilla).unwrap()),
        (read_all(&pruned).unwrap(), 68)
    );
    for bytes in [pruned, vanilla] {
        let file = TorchFile::open(&bytes).unwrap();
        assert_eq!(file.tree().find(&["max_accuracy"]), Some(&Object::Float(87.5)));
        // The configuration's class is not there to be made; its items are all the same.
        let kind = file.tree().find(&["config", "MODEL", "TYPE"]);
        assert_eq!(kind, Some(&Object::Text("vit_adapters".into())));
    }
}

#[test]
fn damaged_files_are_errors_or_other_numbers() {
    let files = [file("mimi_vit_pruned.pth"), file("mimi_vit_vanilla.pth")];
    let damage =
        (0..2usize, proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8));
    proptest!(ProptestConfig::with_cases(600), |((which, changes) in damage, cut in any::<proptest::sample::Index>(), is_cut in any::<bool>())| {
        let mut bytes = files[which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = read_all(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        } else {
            prop_assert!(!is_cut);
        }
    });
}

#[test]
fn damaged_pickles_are_errors_or_other_objects() {
    // The older format keeps its pickle without a checksum, in front.
    let bytes = file("mimi_vit_vanilla.pth");
    let length = (0..5).fold(0, |at, _| at + read_pickle(&bytes[at..]).unwrap().1);
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6);
    proptest!(ProptestConfig::with_cases(1500), |(changes in changes)| {
        let mut bytes = bytes.clone();
        changes.iter().for_each(|(at, byte)| bytes[at.index(length)] = *byte);
        drop(read_all(&bytes));
    });
    let bytes = proptest::collection::vec(any::<u8>(), 0..400);
    proptest!(ProptestConfig::with_cases(1500), |(bytes in bytes)| {
        drop(read_pickle(&bytes));
        prop_assert!(TorchFile::open(&bytes).is_err());
    });
}

/// A file of the older format around a pickle, with one storage `0` of four floats if the pickle has one.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let start = [magic, &b"\x80\x02M\xe9\x03."[..], b"\x80\x02}.", pickle].concat();
    if !pickle.windows(7).any(|part| part == b"storage") {
        return [&start[..], b"\x80\x02]."].concat();
    }
    let numbers: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    [&start[..], b"\x80\x02]X\x01\0\0\x000a.", &4u64.to_le_bytes(), &numbers].concat()
}

/// The pickle of `{"t": <tensor of storage 0>}`.
fn tensor(elements: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage =
        [&b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"[..], elements, b"tQ"]
            .concat();
    let call =
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, offset, shape, strides, b"\x89}tR"].concat();
    [&b"\x80\x02}X\x01\0\0\0t"[..], &call, b"s."].concat()
}

/// `{"t": <whatever pushes one object>}`.
fn holding(object: &[u8]) -> Vec<u8> {
    [&b"\x80\x02}X\x01\0\0\0t"[..], object, b"s."].concat()
}

fn error(pickle: &[u8]) -> String {
    read_all(&legacy(pickle)).unwrap_err().to_string()
}

#[test]
fn strides_are_followed() {
    let bytes = legacy(&tensor(b"K\x04", b"K\x00", b"K\x02K\x02\x86", b"K\x01K\x02\x86"));
    let mut file = TorchFile::open(&bytes).unwrap();
    let tree = file.tree().clone();
    let numbers = file.numbers("t", tree.find(&["t"]).unwrap()).unwrap().unwrap();
    assert_eq!((numbers.shape, numbers.data), (vec![2, 2], vec![1.0, 3.0, 2.0, 4.0]));
}

#[test]
fn tensors_that_do_not_fit_their_storage_are_refused() {
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let pair = |a: &[u8], b: &[u8]| [a, b, b"\x86"].concat();
    let unit = pair(b"K\x02", b"K\x01");
    let square = pair(b"K\x02", b"K\x02");
    for (what, pickle) in [
        ("too long", tensor(b"K\x04", b"K\x00", &pair(b"K\x03", b"K\x02"), &unit)),
        ("past the end", tensor(b"K\x04", b"K\x01", &square, &unit)),
        ("overflowing", tensor(b"K\x04", b"K\x00", &pair(huge, huge), &unit)),
        ("far", tensor(b"K\x04", b"K\x00", &square, &pair(huge, huge))),
        (
            "spread out of nothing",
            tensor(b"K\x04", b"K\x00", &pair(huge, b"K\x01"), &pair(b"K\x00", b"K\x00")),
        ),
        ("negative", tensor(b"K\x04", b"J\xff\xff\xff\xff", &square, &unit)),
        ("of other lengths", tensor(b"K\x04", b"K\x00", &square, b"K\x01\x85")),
        ("of a larger storage", tensor(huge, b"K\x00", &square, &unit)),
    ] {
        assert!(error(&pickle).contains("tensor t"), "{what}: {}", error(&pickle));
    }
    assert!(read_all(&legacy(&tensor(b"K\x04", b"K\x00", &square, &unit))).is_ok());
}

#[test]
fn nothing_is_executed_and_the_name_is_told_where_it_matters() {
    let call = b"cos\nsystem\nX\x13\0\0\0touch /tmp/mimi-pwn\x85R";
    let error = error(&holding(call));
    assert!(error.contains("os system") && error.contains("not executed"), "{error}");
    // Beside the model it does no harm.
    let model = [&b"X\x05\0\0\0model}"[..], b"X\x05\0\0\0other", call].concat();
    assert_eq!(read_all(&legacy(&[&b"\x80\x02}("[..], &model, b"u."].concat())).unwrap(), 0);
    assert!(!std::path::Path::new("/tmp/mimi-pwn").exists());
}

#[test]
fn cycles_and_claims_are_harmless() {
    // A dictionary that holds itself, and a list in a list in itself.
    let cyclic = b"\x80\x02}q\x00X\x05\0\0\0modelh\x00s.";
    assert!(error(cyclic).contains("a dictionary, expected a tensor"), "{}", error(cyclic));
    assert!(error(&holding(b"]q\x01h\x01a")).contains("a list, expected a tensor"));
    for claim in [&b"\x80\x02X\xff\xff\xff\xffabc"[..], b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc"] {
        assert!(read_pickle(claim).unwrap_err().to_string().contains("ends before"));
    }
    for (pickle, words) in [
        (&b"\x80\x02h\x05."[..], "memoised"),
        (b"\x80\x02.", "stack is empty"),
        (b"\x80\x02t.", "no mark"),
        (b"\x80\x02Na.", "stack is empty"),
        (b"\x80\x02NNa.", "other than a list"),
        (b"\x80\x02I1\n.", "opcode"),
        (b"\x80\x02\x8a\xff", "ends before"),
        (b"", "ends before"),
    ] {
        let error = read_pickle(pickle).unwrap_err().to_string();
        assert!(error.contains(words), "{pickle:?}: {error}");
    }
    // Each byte makes an object; the bound comes before memory ends.
    let many = [&b"\x80\x02"[..], &vec![b'N'; 5 << 20]].concat();
    assert!(read_pickle(&many).unwrap_err().to_string().contains("more than"));
}
