//! The programs of `examples/` do what they say.

use crate::server::{World, image};
use crate::support;

#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn a_program_embeds_the_engine() {
    let world = World::new();
    let folder = world.publish("one", &world.contents(1, 2));
    let engine = embed::start(&world.tiny.folder, &support::runtime_options()).unwrap();
    let (label, logit) = embed::classify(&engine, &folder, &image("rgb.png")).unwrap();
    engine.stop();
    assert_eq!(label, "class-2");
    assert!(logit > 500.0, "{logit}");
}
