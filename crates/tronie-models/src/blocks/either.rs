//! One of two layers under one name.

use tronie_tensor::burn::module::{Content, Devices, ModuleDisplay, ModuleDisplayDefault};
use tronie_tensor::{Device, Module, ModuleMapper, ModuleVisitor};

/// A place that one kind of checkpoint fills with an `A` and another with a `B`, under the same key.
///
/// Written out because Burn's derive adds an enum variant's name to the path, and no checkpoint has it.
#[derive(Debug, Clone)]
pub(crate) enum Either<A, B> {
    /// The first kind.
    First(A),
    /// The second kind.
    Second(B),
}

impl<A: Module, B: Module> Module for Either<A, B> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        match self {
            Self::First(module) => module.collect_devices(devices),
            Self::Second(module) => module.collect_devices(devices),
        }
    }

    fn fork(self, device: &Device) -> Self {
        match self {
            Self::First(module) => Self::First(module.fork(device)),
            Self::Second(module) => Self::Second(module.fork(device)),
        }
    }

    fn to_device(self, device: &Device) -> Self {
        match self {
            Self::First(module) => Self::First(module.to_device(device)),
            Self::Second(module) => Self::Second(module.to_device(device)),
        }
    }

    fn train(self) -> Self {
        match self {
            Self::First(module) => Self::First(module.train()),
            Self::Second(module) => Self::Second(module.train()),
        }
    }

    fn valid(&self) -> Self {
        match self {
            Self::First(module) => Self::First(module.valid()),
            Self::Second(module) => Self::Second(module.valid()),
        }
    }

    fn materialize(self) -> Self {
        match self {
            Self::First(module) => Self::First(module.materialize()),
            Self::Second(module) => Self::Second(module.materialize()),
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match self {
            Self::First(module) => module.visit(visitor),
            Self::Second(module) => module.visit(visitor),
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        match self {
            Self::First(module) => Self::First(module.map(mapper)),
            Self::Second(module) => Self::Second(module.map(mapper)),
        }
    }
}

impl<A: ModuleDisplay, B: ModuleDisplay> ModuleDisplayDefault for Either<A, B> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::First(module) => content.add_single(module).optional(),
            Self::Second(module) => content.add_single(module).optional(),
        }
    }
}

impl<A: ModuleDisplay, B: ModuleDisplay> ModuleDisplay for Either<A, B> {}
