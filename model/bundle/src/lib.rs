//! Model bundles: manifest, digests and the ONNX schema.
