//! The one integration binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

/// The program as a process.
mod program;
/// A whole server over the tiny backbone.
mod scores;
mod server;
/// A tiny backbone, packs made in code, a runtime, fixtures.
mod support;

/// The access log: whole lines that say whose request and which tasks.
mod access_log;
/// Layers and invariants of the code map.
mod architecture;
/// Who did what: written, bounded, without secrets.
mod audit;
/// A method chosen within a time: what is planned, who is chosen, that it goes on.
mod auto;
/// What goes in wrongly, with the status that comes out.
mod bad_inputs;
/// Packs whose tensors lie on the device answer as others do.
mod bank;
/// Mixed batches equal rows alone; covering programs equal exact ones.
mod batching;
/// Requests and their answers, bad ones too.
mod circles;
mod classify;
/// What commands print, and to whom.
mod commands;
/// Comparisons: who takes part, on what terms, and what is made of the results.
mod compare;
mod compare_methods;
/// What only a CvT has: convolutions to fold, settings that no tensor shows.
mod cvt;
/// Heads on several depths: features, packs, training, shared passes.
mod depths;
/// What the device of `MIMI_TEST_DEVICE` gives, against PyTorch and the CPU.
mod device;
mod device_state;
/// Devices whose batches fail.
mod devices_out;
/// Reference pages are what the code says; command blocks say who runs them.
mod docs;
/// Variables that cannot be read are named; empty ones are unset.
mod environment;
/// The programs of `examples/`.
mod examples;
/// Factorised methods and their packs.
mod factors;
/// The folder of packs: what goes wrong with it, and what is made of that.
mod finetune;
/// What scores see of first values.
mod first_values;
/// Floods by every door: refused, and memory stays flat.
mod floods;
mod folder;
/// One image under many packs, known or not.
mod forking;
/// Whole early blocks cut away.
mod front_first;
/// What fuzzing runs, over its corpora.
mod fuzz;
/// Neurons chosen by gates that pay by depth, in one training.
mod gates;
/// Backward equals finite differences and PyTorch.
mod gradients;
/// The gRPC door: methods, statuses, hostile messages.
mod grpc;
/// Heads of several labels and of values, answers that abstain, and features.
mod habits;
mod heads;
/// What a client may hold, and that others are served meanwhile.
mod hold;
/// The page for people.
mod home;
/// Decoding, resizing and normalising against Pillow's answers.
mod image;
/// Files of every form that the formats allow, against Pillow's pixels.
mod image_corpus;
/// Packs and the image decoder they were trained with.
mod image_decoder;
/// Images that are broken, hostile or no images.
mod image_hostile;
/// Images that ask for much work: it grows with their size alone.
mod image_work;
/// Checkpoints become backbones, or say what is wrong with them.
mod import;
/// Every combination of parts equals timm or Hugging Face, or is refused by name.
mod import_grid;
/// Checkpoints of the reference implementation become packs.
mod import_pack;
/// What a checkpoint and the files beside it tell is read, shown, and must agree.
mod import_sources;
/// 8-bit sums are the same integers on every processor.
mod integers;
/// Lines on their way to the disk: torn, full, gone, shared, rotated.
mod journal;
/// Which cores, threads and heaps a server takes.
mod layout;
/// What `bench` prints as lines of JSON.
mod lines;
/// Answers name what made them.
mod makers;
/// Every method's served modules against PyTorch.
mod method_references;
/// Every method: its size, and that it is served as it was trained.
mod methods;
/// Series, their names and their bounds.
mod metrics;
/// Adapters: trained, scored, pruned, and served as they were measured.
mod mimi;
/// Modules of every form: gradients, packs, batches of several kinds.
mod modules;
/// The Open Inference Protocol by REST.
mod oip;
/// Damaged and hostile packs of other libraries.
mod outside_hostile;
/// Packs of PEFT and AdapterHub, and plain heads, give their library's logits or are refused by name.
mod outside_packs;
/// Answers of the library prove the backbone.
mod outside_proof;
/// Any bytes as a pack: an error, never a panic.
mod pack_is_data;
mod packs;
/// Patches as a product instead of a convolution.
mod patches;
/// No error tells where files are.
mod paths;
/// 8-bit and 16-bit products: what they compute, that rows stay independent, and that packs know their precision.
mod precision;
mod precision_kinds;
/// What commands print, held by snapshots.
mod predict;
mod printed;
mod prompts;
/// What a training may publish, and many trainings in one process.
mod publish;
/// The real backbones, where they can be fetched.
mod real;
/// Imported checkpoints give PyTorch's numbers.
mod reference;
/// New versions: wholly old or wholly new, and never broken.
mod reload;
/// Small batches that a GPU replays.
mod replays;
/// What of the weights stays in memory.
mod resident;
/// Images as bytes, up to the program.
mod samples;
/// The description against the server.
mod schema;
/// The service without a door.
mod service;
/// Packs from object stores, and publishing.
mod shelf;
/// Packs at few bits a weight.
mod small;
/// Paired differences against SciPy's numbers.
mod statistics;
/// Studies: what is run, what is concluded.
mod study;
/// Swin: what its checkpoints tell, what its published sizes count and cost.
mod swin;
/// Any bytes as a file of `torch.save`.
mod tenants;
/// TLS: who is served, who is not, and what happens when files change.
mod tls;
mod torch;
/// Spans as a collector gets them.
mod traces;
/// Training a head, and what the data must be.
mod train;
/// `serve --tune` and its measuring processes.
mod tuning;
/// What tenants used: counted, written, summed, after any crash.
mod usage;
