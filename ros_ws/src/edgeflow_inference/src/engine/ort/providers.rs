//! Execution providers: what a session may run on, as far as the loaded library brings it.

use ort::ep::{self, ExecutionProvider};

use crate::{Error, Result};

/// What runs the graph's operators: the first that can takes each. The CPU takes what is left, wherever it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// NVIDIA, by CUDA.
    Cuda,
    /// NVIDIA, by TensorRT.
    TensorRt,
    /// Intel, by OpenVINO.
    OpenVino,
}

impl Provider {
    /// All this program can register.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// Its name as a parameter's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether it computes in memory that the processor cannot read. (OpenVINO takes and gives the processor's.)
    pub(super) fn has_memory_of_its_own(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// Whether the loaded library was built with it.
    fn is_offered(self) -> bool {
        let offered = match self {
            Self::Cpu => return true,
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
        };
        offered.unwrap_or(false)
    }

    /// Registration that fails loudly: a robot which was told to use its GPU must not quietly use its CPU.
    pub(super) fn registration(self) -> Option<ep::ExecutionProviderDispatch> {
        let registration = match self {
            // Every session has it.
            Self::Cpu => return None,
            Self::Cuda => ep::CUDA::default().build(),
            Self::TensorRt => ep::TensorRT::default().build(),
            Self::OpenVino => ep::OpenVINO::default().build(),
        };
        Some(registration.error_on_failure())
    }
}

/// Refuses providers the loaded library does not have. Call it with a library loaded.
pub(super) fn check(asked: &[Provider]) -> Result<()> {
    match asked.iter().find(|provider| !provider.is_offered()) {
        None => Ok(()),
        Some(missing) => {
            let offered: Vec<_> = Provider::ALL.into_iter().filter(|p| p.is_offered()).map(Provider::name).collect();
            Err(Error::ProviderMissing { asked: missing.name(), offered: offered.join(", ") })
        }
    }
}
