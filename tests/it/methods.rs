//! Methods: how many parameters each trains, and that each is served as it was trained.

use mimi_server::backbone::BackboneConfig;
use mimi_server::image::Preprocessing;
use mimi_server::train::{Adaptation, MimiOptions, Progress, StepOptions, Target, TaskOptions, train};

use crate::mimi::{run, served_accuracy, task};
use crate::server::World;
use crate::support::FAMILIES;
use crate::train::{dataset, setup};

/// A method's own settings, with fewer and larger steps.
pub fn quick(adaptation: Adaptation) -> MimiOptions {
    let own = MimiOptions::of(adaptation).unwrap();
    let step = StepOptions { micro_batch: 3, ..own.step };
    let mut settings = own.settings.clone();
    // Small backbones have small widths.
    if settings.count("n") > 0 {
        adaptation.set(&mut settings, "n=2").unwrap();
    }
    MimiOptions { settings, rank: 4, sigma: 4.0, epochs: 8, batch: 8, rate: 2e-2, step, ..own }
}

/// A backbone that the method fits: FacT wants MLPs of four widths.
fn home(adaptation: Adaptation) -> &'static str {
    if adaptation.name().starts_with("fact") { "methods_vit" } else { "vit_timm" }
}

#[test]
fn adapters_have_the_settings_they_always_had() {
    let recipe = MimiOptions::of(Adaptation::default()).unwrap();
    assert_eq!(recipe, MimiOptions { target: Target::Never, ..MimiOptions::default() });
}

#[test]
fn every_method_is_served_as_it_was_trained() {
    let mut left_out = Vec::new();
    let every =
        FAMILIES.into_iter().flat_map(|fixture| Adaptation::all().map(move |method| (fixture, method)));
    // The one whose MLPs are as wide as FacT wants them.
    let fitting = Adaptation::all()
        .filter(|method| method.is_factorised(mimi_server::backbone::ModuleSet::EMPTY))
        .map(|method| ("methods_vit", method));
    for (fixture, adaptation) in every.chain(fitting) {
        let (world, data) = (World::of(fixture), tempfile::tempdir().unwrap());
        dataset(data.path());
        let options = quick(adaptation);
        if let Err(error) = options.check(&world.tiny.config) {
            left_out.push(format!("{fixture} {error}"));
            continue;
        }
        let report = run(&world, &task(&world, data.path(), options.clone()));
        let (name, config) = (adaptation.name(), &world.tiny.config);
        let pack = world.tiny.read(&report.folder);
        assert_eq!(pack.modules, options.modules(config), "{fixture} {name}");
        assert_eq!(pack.manifest.provenance.method, name);
        let cycle = &report.cycles[0];
        assert_eq!(cycle.adapter_parameters, options.module_parameters(config), "{fixture} {name}");
        assert_eq!(cycle.flops, pack.flops, "{fixture} {name}");
        let served = served_accuracy(&world, &report, data.path());
        assert_eq!(served, report.accuracies.held_out, "{fixture} {name}");
        assert!(report.accuracies.train > 0.6, "{fixture} {name}: {:?}", report.accuracies);
    }
    // FacT needs MLPs of four widths, FacT-TK one width throughout; prompts are for ViT, and deep ones for Swin.
    assert!(
        left_out.iter().all(|why| {
            why.contains("fact-t") && !why.contains("methods_vit")
                || why.contains("vpt-") && why.contains("prompts")
        }),
        "{left_out:?}"
    );
}

#[test]
fn mimi_prunes_no_method_without_neurons_of_its_own() {
    let world = World::new();
    for name in ["phm", "compacter"] {
        let options =
            MimiOptions { target: Target::Parameters(0), ..quick(Adaptation::named(name).unwrap()) };
        let error = options.check(&world.tiny.config).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{name} makes its matrices of smaller ones: there are no neurons to prune")
        );
    }
}

#[test]
fn mimi_prunes_every_method_that_has_neurons() {
    for name in ["adapter-plus", "adaptformer", "lora"] {
        let (world, data) = (World::new(), tempfile::tempdir().unwrap());
        dataset(data.path());
        let own = quick(Adaptation::named(name).unwrap());
        let options = MimiOptions { target: Target::Parameters(0), rho: 0.5, epochs: 2, ..own };
        let report = run(&world, &task(&world, data.path(), options.clone()));
        let neurons: Vec<usize> = report.cycles.iter().map(|cycle| cycle.neurons).collect();
        let modules = options.modules(&world.tiny.config).len();
        assert_eq!(neurons[..2], [4 * modules, 2 * modules], "{name}");
        let pack = world.tiny.read(&report.folder);
        assert_eq!(pack.weights.values().map(|own| own.width).sum::<usize>(), *neurons.last().unwrap());
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out, "{name}");
    }
}

#[test]
fn a_method_that_begins_late_keeps_the_blocks_before() {
    for adaptation in Adaptation::all() {
        let (world, data) = (World::of(home(adaptation)), tempfile::tempdir().unwrap());
        dataset(data.path());
        let last = world.tiny.config.depth() - 1;
        let options = MimiOptions { first_block: last, epochs: 2, ..quick(adaptation) };
        if adaptation.name() == "vpt-shallow" {
            // Prompts that stay must be there from the first block on.
            let error = options.check(&world.tiny.config).unwrap_err().to_string();
            assert!(error.contains("vpt-shallow has no module in the blocks from"), "{error}");
            continue;
        }
        let report = run(&world, &task(&world, data.path(), options));
        let pack = world.tiny.read(&report.folder);
        assert_eq!(pack.modules.lowest_block(), Some(last), "{}", adaptation.name());
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out);
    }
}

#[test]
fn an_interrupted_training_of_any_method_ends_as_it_would_have() {
    let data = tempfile::tempdir().unwrap();
    dataset(data.path());
    for adaptation in Adaptation::all() {
        let world = World::of(home(adaptation));
        let own = quick(adaptation);
        // A large decay shows on what it should not act on, and dropped paths are drawn again.
        let step = StepOptions { decay: 0.5, drop_path: 0.3, ..own.step };
        let options = task(&world, data.path(), MimiOptions { epochs: 3, step, ..own });
        let whole = run(&world, &options);
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            train(&setup(&world), &options, &mut |progress| {
                assert!(!matches!(progress, Progress::Step(step) if step.epoch == 1), "stopped by the test");
            })
        }));
        assert!(stopped.is_err() && options.checkpoint.exists());
        let resumed = run(&world, &TaskOptions { resume: true, ..options });
        let read = |folder: &std::path::Path| world.tiny.read(folder).weights.clone();
        assert_eq!(read(&whole.folder), read(&resumed.folder), "{}", adaptation.name());
    }
}

#[test]
fn parameters_are_those_of_the_papers() {
    let (vit, swin) = (vit_b16(), crate::swin::swin_t());
    let of = |name: &str, rank: usize, config: &_| {
        let own = MimiOptions::of(Adaptation::named(name).unwrap()).unwrap();
        MimiOptions { rank, ..own }.module_parameters(config)
    };
    // The last norm is left to the head, and BitFit's key biases do nothing.
    let (d, keys) = (768, [12 * 768, 4_416]);
    let cases = [
        ("adapter-plus", 8, 165_984, 79_584),
        ("adaptformer", 64, 1_189_632, 570_432),
        ("lora", 8, 294_912, 141_312),
        ("bitfit", 1, 102_912 - d - keys[0], 75_546 - d - keys[1]),
        ("ssf", 1, 205_824 - 2 * d, 104_448 - 2 * d),
    ];
    for (name, rank, on_vit, on_swin) in cases {
        assert_eq!((of(name, rank, &vit), of(name, rank, &swin)), (on_vit, on_swin), "{name}");
    }
}

/// ViT-B/16 without its weights.
pub fn vit_b16() -> BackboneConfig {
    let description = serde_json::json!({
        "format_version": 1, "name": "vit-b16", "fingerprint": "", "architecture": "vit",
        "image_size": 224, "patch_size": 16, "width": 768, "depth": 12, "heads": 12, "mlp_width": 3072,
        "activation": "gelu", "layer_norm_eps": 1e-6, "pool": "cls", "class_token": true, "norm_pre": false,
        "layer_scale": false, "registers": 0, "patch_bias": true,
        "preprocessing": Preprocessing::clip(224),
        "provenance": { "file": "", "sha256": "", "naming": "timm", "left_out": [] },
    });
    serde_json::from_value(description).unwrap()
}
