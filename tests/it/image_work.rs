//! Small files that ask for much work or memory: what they cost grows with their size, not with its square. Code that does
//! not keep to that lets these tests run for hours.

use mimi_server::image::{Error, Limits, decode};

use crate::support::fixtures;

/// Field types of TIFF 6.0, section 2.
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A TIFF of fields, each a tag, a type and its numbers, with `data` behind its directory. Numbers may say where `data` is.
fn tiff(fields: impl Fn(u32) -> Vec<(u16, u16, Vec<u32>)>, data: &[u8]) -> Vec<u8> {
    let bytes = |kind: u16, values: &[u32]| -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()[..if kind == SHORT { 2 } else { 4 }].to_vec()).collect()
    };
    let (mut entries, mut behind) = (Vec::new(), data.to_vec());
    let start = 8 + 2 + 12 * fields(0).len() as u32 + 4;
    for (tag, kind, values) in fields(start) {
        let mut value = bytes(kind, &values);
        if value.len() > 4 {
            let at = start + behind.len() as u32;
            behind.extend(std::mem::replace(&mut value, at.to_le_bytes().to_vec()));
        }
        value.resize(4, 0);
        entries.extend(
            [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &(values.len() as u32).to_le_bytes()].concat(),
        );
        entries.extend(value);
    }
    let count = (entries.len() / 12) as u16;
    [b"II*\0", &8u32.to_le_bytes()[..], &count.to_le_bytes(), &entries, &[0; 4], &behind].concat()
}

/// Fields of a grey picture of 1 bit without compression.
fn grey(width: u32, height: u32) -> Vec<(u16, u16, Vec<u32>)> {
    vec![
        (256, LONG, vec![width]),
        (257, LONG, vec![height]),
        (258, SHORT, vec![1]),
        (259, SHORT, vec![1]),
        (262, SHORT, vec![1]),
    ]
}

#[test]
fn strips_in_reversed_bit_order_are_copied_once() {
    const ROWS: u32 = 100_000;
    let file = tiff(
        |at| {
            [
                grey(8, ROWS),
                vec![(266, SHORT, vec![2]), (273, LONG, vec![at; ROWS as usize]), (278, LONG, vec![1])],
            ]
            .concat()
        },
        &[0b0000_1111],
    );
    let image = decode(&file, &Limits::default()).unwrap();
    assert_eq!((image.get_pixel(0, 9).0, image.get_pixel(7, ROWS - 1).0), ([255; 3], [0; 3]));
}

#[test]
fn tiles_far_larger_than_their_image_are_refused() {
    let file = tiff(
        |at| {
            let tiles =
                vec![(322, LONG, vec![40_000_000]), (323, LONG, vec![1]), (324, LONG, vec![at; 1000])];
            [grey(1, 1000), tiles].concat()
        },
        &vec![0; 5_000_000],
    );
    let refused = decode(&file, &Limits::default()).unwrap_err();
    assert!(matches!(refused, Error::Malformed { .. }) && refused.to_string().contains("tiles"), "{refused}");
}

#[test]
fn an_error_does_not_repeat_a_long_list() {
    let bits: Vec<u32> = (0..200_000).map(|nth| 8 - nth % 2).collect();
    let file = tiff(
        |at| {
            let mut fields = grey(1, 1);
            fields[2] = (258, SHORT, bits.clone());
            [fields, vec![(273, LONG, vec![at]), (277, SHORT, vec![2])]].concat()
        },
        &[0],
    );
    let refused = decode(&file, &Limits::default()).unwrap_err().to_string();
    assert!(refused.len() < 200 && refused.contains("[8, 7"), "{} characters", refused.len());
}

/// A grey JPEG that says it restarts at each block, without a single restart marker in a long scan.
#[test]
fn a_jpeg_without_its_restart_markers_is_passed_over_once() {
    let small = std::fs::read(fixtures().join("images/grey.jpg")).unwrap();
    let find = |marker: u8| small.windows(2).position(|pair| pair == [0xFF, marker]).unwrap();
    let (frame, scan) = (find(0xC0), find(0xDA));
    let mut file = small[..scan].to_vec();
    file[frame + 5..frame + 9].copy_from_slice(&[0x0F, 0xA0, 0x0F, 0xA0]);
    file.extend([0xFF, 0xDD, 0, 4, 0, 1]);
    let header = usize::from(u16::from_be_bytes([small[scan + 2], small[scan + 3]]));
    file.extend(&small[scan..scan + 2 + header]);
    file.resize(file.len() + (4 << 20), 0x55);
    for fill in [&[0xFF, 0xD9][..], &vec![0xFF; 1 << 20], &[0xFF, 0xD7].repeat(1 << 19)] {
        // Whether it is refused is said by what libjpeg makes of it; that it ends at all is what is asked here.
        drop(decode(&[&file, fill, &[0xFF, 0xD9]].concat(), &Limits::default()));
    }
}
