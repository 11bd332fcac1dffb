//! Writes Rust for `proto/inference.proto`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/inference.proto");
    // Tests that measure time hold only where the compiler optimises.
    println!("cargo:rustc-env=MIMI_OPT_LEVEL={}", std::env::var("OPT_LEVEL")?);
    let described = protox::compile(["proto/inference.proto"], ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("inference.bin"), described.encode_to_vec())?;
    tonic_prost_build::configure()
        // Images and tensors are slices of the message, not copies.
        .bytes(".")
        .codec_path("crate::grpc::codec::Bounded")
        .generate_default_stubs(true)
        // Clients are for tests, which bring a transport.
        .build_transport(false)
        .compile_fds(described)?;
    Ok(())
}
