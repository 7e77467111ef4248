//! A device by its name, and the dtype policy on it.

use burn::tensor::{DType, Device};
use tronie_base::{Fault, Faulty};

/// A device name that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is none that tronie knows.
    #[error("unknown device \"{name}\", expected one of: {}", KNOWN.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The name is known, but this program was built without it.
    #[error("device \"{name}\" is not in this build of tronie")]
    NotBuilt {
        /// What was asked for.
        name: String,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
}

impl Faulty for DeviceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } => Fault::Input,
            Self::NotBuilt { .. } => Fault::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => Some("tronie doctor lists the devices of this machine".into()),
            Self::NotBuilt { feature, .. } => {
                Some(format!("build it with: cargo build --release --features {feature}"))
            }
        }
    }
}

const KNOWN: [&str; 5] = ["cpu", "vulkan[:N]", "cuda[:N]", "rocm[:N]", "metal[:N]"];

/// Opens a device by name: `cpu`, or `vulkan`, `cuda`, `rocm`, `metal`, each with an optional `:N`.
///
/// # Errors
/// [`DeviceError`] when the name is unknown or its backend is not part of this build.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown { name: name.to_owned() };
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse::<usize>().map_err(|_| unknown())?),
        None => (name, 0),
    };
    match (kind, index) {
        ("cpu", 0) => Ok(Device::flex()),
        ("vulkan", _) => gpu::vulkan(name, index),
        ("metal", _) => gpu::metal(name, index),
        ("cuda", _) => gpu::cuda(name, index),
        ("rocm", _) => gpu::rocm(name, index),
        _ => Err(unknown()),
    }
}

/// What every build can open without asking the machine.
#[must_use]
pub fn built_in() -> Vec<&'static str> {
    let rows = [
        ("cpu", true),
        ("vulkan", cfg!(feature = "vulkan")),
        ("cuda", cfg!(feature = "cuda")),
        ("rocm", cfg!(feature = "rocm")),
        ("metal", cfg!(feature = "metal")),
    ];
    rows.into_iter().filter(|row| row.1).map(|row| row.0).collect()
}

/// The dtype a device computes in: f32 on the CPU, f16 on GPUs.
#[must_use]
pub fn compute_dtype(name: &str) -> DType {
    if name == "cpu" { DType::F32 } else { DType::F16 }
}

/// One function per GPU backend; without its cargo feature each says which one to enable.
mod gpu {
    use super::{Device, DeviceError};

    macro_rules! backend {
        ($kind:ident, $feature:literal, $open:expr) => {
            pub(super) fn $kind(name: &str, index: usize) -> Result<Device, DeviceError> {
                #[cfg(feature = $feature)]
                {
                    let _ = name;
                    Ok($open(index))
                }
                #[cfg(not(feature = $feature))]
                {
                    let _ = index;
                    Err(DeviceError::NotBuilt { name: name.to_owned(), feature: $feature })
                }
            }
        };
    }

    backend!(vulkan, "vulkan", |index| Device::vulkan(burn::tensor::DeviceKind::DiscreteGpu(index)));
    backend!(metal, "metal", |index| Device::metal(burn::tensor::DeviceKind::DiscreteGpu(index)));
    backend!(cuda, "cuda", |index: usize| Device::cuda(index));
    backend!(rocm, "rocm", |index: usize| Device::rocm(index));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_opens_and_unknown_names_say_what_is_known() {
        assert!(open("cpu").is_ok());
        for name in ["", "gpu", "cpu:1", "cuda:x", "vulkan:"] {
            let message = open(name).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("cuda[:N]"), "{message}");
        }
    }

    #[test]
    fn a_backend_left_out_names_its_feature() {
        if cfg!(not(feature = "rocm")) {
            let error = open("rocm:1").unwrap_err();
            assert_eq!(error.hint().unwrap(), "build it with: cargo build --release --features rocm");
        }
    }
}
