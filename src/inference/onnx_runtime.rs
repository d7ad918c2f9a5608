//! Where ONNX Runtime's shared library is looked for.

use std::path::{Path, PathBuf};

/// What the library is called.
#[cfg(target_os = "macos")]
const LIBRARY: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const LIBRARY: &str = "libonnxruntime.so";

/// What it is called where only the files that programs run with are installed.
const SYSTEM_LIBRARY: &str = "libonnxruntime.so.1";

/// Where distributions and container images put shared libraries.
const SYSTEM_DIRECTORIES: [&str; 5] = [
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib",
];

/// No usable library at any of these places.
#[derive(Debug, thiserror::Error)]
#[error(
    "ONNX Runtime cannot be loaded (tried {}); `python3 models/fetch.py onnxruntime` fetches it, or \
     set onnxruntime.path (DYNAMAR_ONNXRUNTIME__PATH) to a {LIBRARY} of version 1.22 or newer",
    list(.tried)
)]
pub struct RuntimeNotFound {
    /// Each path and why it did not do.
    pub tried: Vec<(PathBuf, String)>,
}

fn list(tried: &[(PathBuf, String)]) -> String {
    let places: Vec<String> =
        tried.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
    places.join("; ")
}

/// The places to try, in order. A configured path is the only one: falling back to another
/// library than the one that was asked for would hide the mistake.
pub fn candidates(configured: Option<&Path>, executable: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        return vec![path.to_owned()];
    }
    let mut places = Vec::new();
    if let Some(directory) = executable.and_then(Path::parent) {
        places.push(directory.join(LIBRARY));
        // Binaries and tests of a build lie in target/<profile>, or a level below.
        let target =
            directory.ancestors().find(|dir| dir.file_name().is_some_and(|n| n == "target"));
        places.extend(target.map(|target| target.join("onnxruntime").join(LIBRARY)));
    }
    places.push(Path::new("target/onnxruntime").join(LIBRARY));
    for directory in SYSTEM_DIRECTORIES.map(Path::new) {
        places.extend([LIBRARY, SYSTEM_LIBRARY].map(|library| directory.join(library)));
    }
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_path_is_the_only_one() {
        let path = Path::new("/opt/ort.so");
        assert_eq!(candidates(Some(path), Some(Path::new("/x/dynamar"))), [path]);
    }

    #[test]
    fn the_binary_the_build_and_the_system_are_searched_in_this_order() {
        let executable = Path::new("/home/me/dynamar/target/debug/deps/it-123");
        let places = candidates(None, Some(executable));
        let expected = [
            "/home/me/dynamar/target/debug/deps",
            "/home/me/dynamar/target/onnxruntime",
            "target/onnxruntime",
            "/usr/local/lib",
        ];
        for (place, expected) in places.iter().zip(expected) {
            assert_eq!(place.parent(), Some(Path::new(expected)));
        }
    }
}
