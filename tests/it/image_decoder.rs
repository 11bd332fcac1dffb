//! Packs know the image decoder that they were trained with, and an older one is told and withdraws nothing.

use mimi_server::image::{DECODER_VERSION, Format};
use mimi_server::pack::{self, CONFIG_FILE, SelfTest, WEIGHTS_FILE};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::server::{World, get, post};
use crate::support::repository;

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_an_older_decoder_is_served_with_a_warning() {
    let world = World::new();
    let mut contents = world.contents(1, 1);
    contents.self_test = SelfTest::default();
    let folder = world.publish("t", &contents);
    let read = pack::read_manifest(&folder).unwrap();
    assert_eq!((read.image_decoder, read.decoder_warning()), (DECODER_VERSION, None));

    let config = folder.join(CONFIG_FILE);
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("image_decoder");
    std::fs::write(&config, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let server = world.server().await;
    let published = post(&server.app(), "/v1/tasks/t/reload", "application/json", "").await;
    assert_eq!(published.status, 200, "{}", published.text());
    let shown = get(&server.app(), "/v1/tasks/t").await.json();
    assert_eq!(shown["manifest"]["image_decoder"], 1, "{shown}");
    assert!(shown["warning"].as_str().unwrap().contains("image decoder 1"), "{shown}");
}

/// Self-tests hold to the last digits, whatever the decoder's version: their images are PNG, whose pixels do not move.
#[test]
fn stored_images_of_the_committed_packs_are_png() {
    let mut images = 0;
    for task in ["animal-mnist", "fashion-mnist", "openclipart"] {
        let versions = repository().join("adapters").join(task);
        let newest = pack::versions(&versions).unwrap().pop().unwrap();
        let folder = versions.join(newest.to_string());
        let weights = std::fs::read(folder.join(WEIGHTS_FILE)).unwrap();
        let tensors = SafeTensors::deserialize(&weights).unwrap();
        for (name, tensor) in tensors.iter().filter(|(name, _)| name.contains("image")) {
            assert_eq!(Format::sniff(tensor.data()).unwrap(), Format::Png, "{task}: {name}");
            images += 1;
        }
    }
    assert!(images >= 6, "only {images} stored images");
}
