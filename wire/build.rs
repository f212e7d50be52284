//! Compiles the protobuf files without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/idgen.proto", "proto/stat.proto", "proto/relay.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
