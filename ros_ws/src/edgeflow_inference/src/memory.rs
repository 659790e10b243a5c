//! A bound on the memory of a program that loads models of others, which it sets itself before it loads any: a graph that asks for more
//! gets an error, and takes nothing of the machine with it.

use rlimit::Resource;

/// Names the bound, bytes; 0 or nothing: none.
pub const ENVIRONMENT: &str = "EDGEFLOW_MODEL_MEMORY_BYTES";

/// Takes the bound that the environment names, for good.
///
/// What is bounded is what the process writes to (`RLIMIT_DATA`): heaps and stacks, and not libraries and files it reads.
///
/// # Errors
/// The variable holds no number, or the system refuses the bound; in one line.
pub fn bound_by_environment() -> Result<(), String> {
    let Some(text) = std::env::var_os(ENVIRONMENT) else { return Ok(()) };
    let bytes: Option<u64> = text.to_str().and_then(|text| text.parse().ok());
    match bytes.ok_or_else(|| format!("{ENVIRONMENT} is {}: give a number of bytes", text.display()))? {
        0 => Ok(()),
        bytes => {
            rlimit::setrlimit(Resource::DATA, bytes, bytes).map_err(|error| format!("memory cannot be bounded to {bytes} bytes: {error}"))
        }
    }
}
