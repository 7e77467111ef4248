//! Control networks in memory, and units made ready to steer.

use std::sync::{Arc, Mutex, PoisonError};

use tronie_image::Pixels;
use tronie_models::{
    ControlFitError, ControlNet, ControlNetConfig, ControlUnion, LoadError, T2iAdapter, T2iAdapterConfig,
    load,
};
use tronie_tensor::{DType, Device, Tensor, TensorData};
use tronie_weights::{ControlFile, ControlKind};

use super::hint::picture;
use super::{Control, ControlPicture, ControlUnit, ControlUnitError, Looked, Shown};
use crate::{GenerateError, Networks, Store};

/// Opens control networks and keeps those of the last request, so that a batch or a dataset reads them once.
pub(crate) struct ControlLoader {
    store: Store,
    device: Device,
    compute: DType,
    last: Mutex<Vec<(String, Network)>>,
}

/// A control network in memory.
#[derive(Clone)]
enum Network {
    ControlNet(Arc<Built>),
    Adapter(Arc<T2iAdapter>, Arc<T2iAdapterConfig>),
}

/// A ControlNet, what it is like, and of a union what is told the kind of picture.
struct Built {
    network: Arc<ControlNet>,
    union: Option<ControlUnion>,
    config: ControlNetConfig,
}

impl ControlLoader {
    pub(crate) fn new(store: Store, device: Device, compute: DType) -> Self {
        Self { store, device, compute, last: Mutex::default() }
    }

    /// The units of a request, ready to steer these networks at images of this size, and the same units with their pictures'
    /// hashes.
    ///
    /// # Errors
    /// [`GenerateError`] naming the picture or the network that cannot be used.
    pub(crate) fn ready(
        &self,
        units: &[ControlUnit],
        networks: &Networks,
        size_px: [u32; 2],
    ) -> Result<Vec<Control>, GenerateError> {
        // A poisoned lock only means that a thread died while loading; entries are whole or absent.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(name, _)| units.iter().any(|unit| unit.model == *name));
        let mut controls = Vec::new();
        for unit in units {
            let (bytes, image) = unit.image.read()?;
            let unit = ControlUnit { image, ..unit.clone() };
            let pixels = picture(&unit, &bytes, size_px)?;
            let known = last.iter().find(|row| row.0 == unit.model).map(|row| row.1.clone());
            let network = match known {
                Some(network) => network,
                None => {
                    let network = self.open(&unit.model, networks)?;
                    last.push((unit.model.clone(), network.clone()));
                    network
                }
            };
            controls.push(Control { network: self.looked(network, &unit, &pixels)?, unit });
        }
        Ok(controls)
    }

    fn open(&self, name: &str, networks: &Networks) -> Result<Network, GenerateError> {
        let spec = &networks.spec;
        let path = self.store.control(name).map_err(ControlUnitError::from)?;
        let file = ControlFile::open(&path)
            .map_err(|source| ControlUnitError::Open { name: name.to_owned(), source: Box::new(source) })?;
        let fit = |source: ControlFitError| ControlUnitError::Fit {
            name: name.to_owned(),
            family: spec.id,
            source: Box::new(source),
        };
        let wrong = |source: LoadError| GenerateError::Load {
            model: name.to_owned(),
            part: "control network",
            source,
        };
        let (tensors, factor) = (file.tensors.as_ref(), spec.latents.factor);
        match file.kind {
            ControlKind::ControlNet => {
                let config = ControlNetConfig::of(&spec.unet, tensors).map_err(fit)?;
                config.check_factor(factor).map_err(fit)?;
                let config = ControlNetConfig { pools: file.pools, is_bgr: file.is_bgr, ..config };
                let network = config.init(&self.device).map_err(|error| fit(error.into()))?;
                let network = Arc::new(load(network, tensors, &self.device).map_err(wrong)?);
                let union = config.init_union(&self.device).map_err(|error| fit(error.into()))?;
                let union =
                    union.map(|union| load(union, tensors, &self.device)).transpose().map_err(wrong)?;
                Ok(Network::ControlNet(Arc::new(Built { network, union, config })))
            }
            ControlKind::ControlLora => {
                let config = ControlNetConfig::of_changes(&spec.unet, tensors).map_err(fit)?;
                config.check_factor(factor).map_err(fit)?;
                let network = config.init_on(&networks.unet, tensors, &self.device).map_err(fit)?;
                Ok(Network::ControlNet(Arc::new(Built { network: Arc::new(network), union: None, config })))
            }
            ControlKind::T2iAdapter => {
                let config = T2iAdapterConfig::of(tensors).map_err(fit)?;
                config.check(&spec.unet, factor).map_err(fit)?;
                let network = load(config.init(&self.device), tensors, &self.device).map_err(wrong)?;
                Ok(Network::Adapter(Arc::new(network), Arc::new(config)))
            }
        }
    }

    /// Shows a network its picture.
    fn looked(&self, network: Network, unit: &ControlUnit, pixels: &Pixels) -> Result<Looked, GenerateError> {
        match network {
            Network::ControlNet(built) => {
                let Built { network, union, config } = built.as_ref();
                let hint = network.look(self.image(pixels, config.hint_channels));
                let hint = match union {
                    Some(union) => union.told(hint, kind(unit, config)?),
                    None => hint,
                };
                let (in_channels, pools) = (config.trunk.in_channels, config.pools);
                let network = Arc::clone(network);
                Ok(Looked::ControlNet(Box::new(Shown { network, hint, in_channels, pools })))
            }
            Network::Adapter(network, config) => {
                let multiple = config.multiple_px();
                let sides = [pixels.width_px(), pixels.height_px()];
                if sides.iter().any(|&side| !(side as usize).is_multiple_of(multiple)) {
                    let name = unit.model.clone();
                    return Err(ControlUnitError::Multiple { name, found: sides, multiple }.into());
                }
                Ok(Looked::Adapter(network.forward(self.image(pixels, config.picture_channels()))))
            }
        }
    }

    /// # Shapes
    /// Returns 1 c H W, values in 0..=1; of one channel, the red one, which in maps is as all others.
    fn image(&self, pixels: &Pixels, channels: usize) -> Tensor<4> {
        let [w, h] = [pixels.width_px(), pixels.height_px()].map(|px| px as usize);
        let values: Vec<f32> = pixels.rgb().iter().map(|&byte| f32::from(byte) / 255.0).collect();
        let image = Tensor::<4>::from_data(TensorData::new(values, [1, h, w, 3]), &self.device);
        image.permute([0, 3, 1, 2]).narrow(1, 0, channels.min(3)).cast(self.compute) // 1 c H W
    }
}

/// The number of the unit's kind of picture in a union.
fn kind(unit: &ControlUnit, config: &ControlNetConfig) -> Result<usize, ControlUnitError> {
    let name = || unit.model.clone();
    let kind = unit.kind.or(ControlPicture::made_by(unit.preprocessor));
    let kind = kind.ok_or_else(|| ControlUnitError::NoKind { name: name() })?;
    let (number, n_kinds) = (kind as usize, config.union.map_or(0, |union| union.n_kinds));
    if number < n_kinds {
        return Ok(number);
    }
    Err(ControlUnitError::UnknownKind { name: name(), kind, n_kinds })
}
