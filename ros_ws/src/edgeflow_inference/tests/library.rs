//! ONNX Runtime libraries that cannot be used are named, with the remedy, and none of them spoils a later one.
//! One test: the library is loaded once per process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use edgeflow_inference::Error;
use edgeflow_inference::engine::library;
use edgeflow_inference::engine::ort::OrtBackend;

/// A library with ONNX Runtime's entry point that says it is of an older version.
fn old_library(dir: &Path, version: &str) -> PathBuf {
    let source = dir.join("old.c");
    let library = dir.join("libonnxruntime.so.old");
    let code = format!(
        r#"typedef struct {{ const void *(*GetApi)(unsigned); const char *(*GetVersionString)(void); }} Base;
        static const void *api(unsigned v) {{ return 0; }}
        static const char *version(void) {{ return "{version}"; }}
        static const Base base = {{ api, version }};
        const Base *OrtGetApiBase(void) {{ return &base; }}"#
    );
    std::fs::write(&source, code).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .expect("a C compiler builds the old library");
    assert!(built.success());
    library
}

#[test]
fn unusable_libraries_are_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| OrtBackend::from_library(path).unwrap_err().to_string();
    let remedy = format!("name a library of version 1.{} or newer", library::MINIMUM_MINOR);

    let old = refused(&old_library(dir.path(), "1.16.3"));
    assert!(old.contains("libonnxruntime.so.old") && old.contains("it is version 1.16.3, too old") && old.contains(&remedy), "{old}");

    let text = dir.path().join("libonnxruntime.so.text");
    std::fs::write(&text, "no library").unwrap();
    let text = refused(&text);
    assert!(text.contains("libonnxruntime.so.text") && text.contains(&remedy), "{text}");

    let other = dir.path().join("other.c");
    std::fs::write(&other, "int x;").unwrap();
    let library = dir.path().join("libother.so");
    assert!(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&other).status().unwrap().success());
    let other = refused(&library);
    assert!(other.contains("it is no onnxruntime"), "{other}");

    let missing = OrtBackend::find("/nowhere/libonnxruntime.so").unwrap_err();
    assert!(matches!(missing, Error::RuntimeMissing { .. }));
    assert!(missing.to_string().contains("/nowhere/libonnxruntime.so"), "{missing}");

    // After all that the real one works, again too, and another is refused.
    let found = library::find("").unwrap_or_else(|error| panic!("{error}"));
    OrtBackend::from_library(&found).unwrap();
    OrtBackend::from_library(&found).unwrap();
    let second = OrtBackend::from_library(&library).unwrap_err();
    assert!(matches!(second, Error::RuntimeFixed { .. }), "{second}");
}
