//! Compiles the service definitions without protoc and keeps their descriptor for reflection.

use std::{env, error::Error, path::PathBuf};

const PROTO_ROOT: &str = "proto";
const SERVICES: [&str; 2] =
    ["proto/dynamar/v1/inference.proto", "proto/open_inference/open_inference.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    // Comments travel into the generated documentation and the reflection service.
    compiler.include_source_info(true).include_imports(true).open_files(SERVICES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("services.bin"), compiler.encode_file_descriptor_set())?;
    // Maps in order of their keys, as the domain has them.
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
