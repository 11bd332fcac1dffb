//! Imported checkpoints give PyTorch's numbers (scripts in `tests/fixtures/reference/`).

use mimi_server::backbone::{Architecture, BlockRange, ModuleSet};
use mimi_server::graph::{HIDDEN, PIXELS, Plan, build};
use mimi_server::runtime::{Input, Program, WeightOptions, WeightStore};

use crate::support::{self, Fixture, Tensor, TinyBackbone, assert_close};

/// The bar for features of unit scale, absolute.
const TOLERANCE: f32 = 1e-4;

const FIXTURES: [&str; 22] = [
    "vit_timm",
    "vit_timm_mean",
    "vit_timm_mean_norm_first",
    "vit_timm_deit",
    "vit_timm_deit3",
    "vit_timm_clip",
    "vit_timm_dinov2",
    "vit_timm_dinov2_registers",
    "vit_hf",
    "vit_hf_deit",
    "vit_hf_clip",
    "vit_hf_dinov2",
    "vit_hf_dinov2_registers",
    "vit_timm_deit_distilled",
    "vit_timm_siglip",
    "vit_hf_deit_distilled",
    "vit_hf_siglip",
    "swin_timm",
    "swin_timm_window7",
    "swin_timm_window12",
    "swin_hf",
    "cvt_hf",
];

fn program(tiny: &TinyBackbone, blocks: BlockRange) -> Program {
    let graph = build(&tiny.config, &Plan { blocks, modules: ModuleSet::EMPTY }).unwrap();
    // The program keeps the store alive.
    Program::compile(&support::runtime(), &tiny.store(), &graph).unwrap()
}

#[test]
fn features_equal_timm_and_hugging_face() {
    for name in FIXTURES {
        let fixture = Fixture::named(name);
        let tiny = TinyBackbone::from(name);
        let pixels = &fixture.tensors["input/pixels"];
        let input = Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data };
        let output = program(&tiny, tiny.config.blocks()).run(&[input]).unwrap().remove(0);
        assert_close(name, &output.data, &fixture.tensors["expect/features"].data, TOLERANCE);
    }
}

/// Tokens that the reference has row by row, in the order in which our block leaves them.
fn as_left_by(tiny: &TinyBackbone, block: usize, row_by_row: &Tensor) -> Vec<f32> {
    let Architecture::Swin(swin) = &tiny.config.architecture else { return row_by_row.data.clone() };
    let [_, tokens, width] = row_by_row.shape[..] else { panic!("{:?}", row_by_row.shape) };
    let order = swin.order(swin.block(block));
    let image = |image: &[f32]| -> Vec<f32> {
        order.iter().flat_map(|&token| image[token * width..][..width].to_vec()).collect()
    };
    row_by_row.data.chunks(tokens * width).flat_map(image).collect()
}

#[test]
fn every_block_equals_timm_and_chained_halves_equal_the_whole() {
    for name in ["vit_timm", "vit_hf_clip", "vit_hf_dinov2", "swin_timm", "swin_hf", "cvt_hf"] {
        let fixture = Fixture::named(name);
        let tiny = TinyBackbone::from(name);
        let pixels = &fixture.tensors["input/pixels"];
        let (mut shape, mut data) = (pixels.shape.clone(), pixels.data.clone());
        for block in tiny.config.blocks().iter() {
            let input = if block == 0 { PIXELS } else { HIDDEN };
            let mut one = program(&tiny, BlockRange { start: block, end: block + 1 });
            let output = one.run(&[Input { name: input, shape: &shape, data: &data }]).unwrap().remove(0);
            let last = block + 1 == tiny.config.depth();
            let key = if last { "expect/features".into() } else { format!("expect/block.{block}") };
            let expected = &fixture.tensors[&key];
            let expected = if last { expected.data.clone() } else { as_left_by(&tiny, block, expected) };
            assert_close(&format!("{name} {key}"), &output.data, &expected, TOLERANCE);
            (shape, data) = (output.shape, output.data);
        }
        let input = Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data };
        let whole = program(&tiny, tiny.config.blocks()).run(&[input]).unwrap().remove(0);
        assert_eq!(whole.data, data, "{name}: chained blocks differ from the whole");
    }
}

#[test]
fn other_weights_under_the_same_name_are_refused() {
    let tiny = TinyBackbone::new();
    let path = tiny.folder.join(mimi_server::backbone::WEIGHTS_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused =
        WeightStore::open(&support::runtime(), &tiny.config, &tiny.folder, WeightOptions::default())
            .err()
            .unwrap();
    assert!(refused.to_string().contains("sha256"), "{refused}");
}
