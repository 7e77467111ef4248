//! The model in training: its frozen networks, what of them is trained, and where the changes go.

use tronie_base::{Progress, derive_seed};
use tronie_generate::{EmbeddingSet, GenerateError, Networks, Pipeline, Store};
use tronie_models::vae::VaeEncoder;
use tronie_tensor::burn::module::Param;
use tronie_tensor::{DType, Device, Module, ModuleVisitor, Tensor, device, lanes};
use tronie_weights::Checkpoint;

use crate::inversion::Word;
use crate::parameters::{Leaves, Parameters, Values};
use crate::recipe::{Lora, Method, Recipe, Stage};
use crate::weave::{DOWN, UP, weave};
use crate::{TrainError, scratch};

/// A checkpoint in training.
pub(crate) struct Trainee {
    pub(crate) checkpoint: Checkpoint,
    sha256: String,
    /// As the checkpoint has them; never changed.
    pub(crate) networks: Networks,
    pub(crate) encoder: VaeEncoder,
    pub(crate) device: Device,
    device_name: String,
    method: Method,
    /// Folders of the networks that are trained.
    trained: Vec<&'static str>,
    /// The new word of textual inversion.
    pub(crate) word: Option<Word>,
    /// What low-rank changes are multiplied by.
    scale: f64,
    /// How many passes and encodings run side by side.
    pub(crate) n_lanes: usize,
}

/// Networks of fewer weights than this run several passes side by side on a CPU, each on one core. Their kernels are too
/// short to be shared (1.4 times as many pictures a second for the 22 million of tronie-mini on two cores); those of
/// Stable Diffusion are not, and its activations are wanted in memory once.
const SMALL: usize = 1 << 26;

impl Trainee {
    /// Opens the recipe's model on a device.
    pub(crate) fn open(
        recipe: &Recipe,
        method: Method,
        store: &Store,
        device_name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Self, TrainError> {
        let device = device::open(device_name).map_err(GenerateError::from)?;
        let checkpoint = base(recipe, method, store, progress)?;
        let networks = Networks::load(&checkpoint, &recipe.model, &device, progress)?;
        let is_inversion = method == Method::TextualInversion;
        let word = is_inversion.then(|| Word::new(recipe, &networks.tokenizer)).transpose()?;
        let encoder = networks.load_vae_encoder(&checkpoint, &recipe.model, &device)?;
        let sha256 = checkpoint.hash(progress)?;
        let folders = networks.spec.text.encoders.iter().map(|encoder| encoder.folder);
        let trained = match (method, recipe.scratch.stage) {
            (Method::Scratch, Stage::Autoencoder | Stage::Decoder) => vec!["vae"],
            (Method::TextualInversion, _) => Vec::new(),
            _ if recipe.text.train => folders.chain(["unet"]).collect(),
            _ => vec!["unet"],
        };
        let (device_name, scale) = (device_name.to_owned(), recipe.lora.scale());
        let is_small = n_weights(&networks) < SMALL && device_name == "cpu";
        let n_lanes = if is_small { lanes::n_available() } else { 1 };
        Ok(Self {
            checkpoint,
            sha256,
            networks,
            encoder,
            device,
            device_name,
            method,
            trained,
            word,
            scale,
            n_lanes,
        })
    }

    /// Whether the autoencoder is what is trained, on pictures themselves.
    pub(crate) fn is_autoencoder(&self) -> bool {
        self.trained.contains(&"vae")
    }

    /// Whether text encoders are trained.
    pub(crate) fn trains_text(&self) -> bool {
        self.trained.iter().any(|folder| folder.starts_with("text_encoder"))
    }

    /// What is trained, at its values before the first step.
    pub(crate) fn parameters(&self, recipe: &Recipe) -> Result<Parameters, TrainError> {
        let mut parameters = Parameters::default();
        let mut add = |component: &str, weights: Vec<Weight>| {
            for weight in weights {
                match self.method {
                    Method::Dreambooth | Method::Scratch => {
                        let values = Values { values: weight.values(), shape: weight.shape };
                        parameters.0.insert(format!("{component}.{}", weight.name), values);
                    }
                    Method::Lora => {
                        let layer = weight.name.strip_suffix("weight");
                        let rank = rank_of(component, &weight, recipe);
                        if let (Some(layer), Some(rank)) = (layer, rank) {
                            let layer = format!("{component}.{layer}");
                            parameters.0.extend(low_rank(&layer, &weight.shape, rank, recipe.seed));
                        }
                    }
                    Method::TextualInversion => {} // no network is trained
                }
            }
        };
        let is_trained = |folder: &str| self.trained.contains(&folder);
        if is_trained("unet") {
            add("unet", Weights::of(&self.networks.unet));
        }
        for (clip, encoder) in self.networks.clips.iter().zip(&self.networks.spec.text.encoders) {
            if is_trained(encoder.folder) {
                add(encoder.folder, Weights::of(clip));
            }
        }
        if is_trained("vae") && recipe.scratch.stage == Stage::Autoencoder {
            add("vae", Weights::of(&self.encoder));
        }
        if is_trained("vae") {
            add("vae", Weights::of(&self.networks.vae));
        }
        if let Some(word) = &self.word {
            parameters.0.extend(word.parameters(&self.networks, &self.device).0);
        }
        let is_known = |part: &String| parameters.0.keys().any(|name| begins_with(name, part));
        let unknown = recipe.lora.ranks.iter().find(|(part, rank)| **rank > 0 && !is_known(part));
        if let (Method::Lora, Some((part, _))) = (self.method, unknown) {
            return Err(TrainError::Setting {
                name: "lora.ranks",
                found: format!("\"{part}\", which no trained layer's name begins with"),
                expected: "the beginning of layers' names, for example \"unet.mid_block\"".to_owned(),
            });
        }
        if parameters.0.is_empty() {
            return Err(TrainError::Nothing {
                reason: "the model has no layer that low-rank changes are made for",
            });
        }
        Ok(parameters)
    }

    /// What makes pictures with networks of this model.
    pub(crate) fn pipeline(&self, networks: Networks) -> Pipeline {
        let compute = device::compute_dtype(&self.device_name);
        Pipeline::new(networks, self.sha256.clone(), self.device.clone(), compute)
    }

    /// The encoder's half of the autoencoder with the leaves in place.
    pub(crate) fn woven_encoder(&self, leaves: &Leaves) -> VaeEncoder {
        weave(self.encoder.clone(), "vae", leaves, self.scale)
    }

    /// The networks with the leaves in place.
    pub(crate) fn woven(&self, leaves: &Leaves) -> Networks {
        let Networks { spec, tokenizer, clips, unet, vae } = self.networks.clone();
        let clips = clips.into_iter().zip(&spec.text.encoders);
        let clips = clips.map(|(clip, encoder)| weave(clip, encoder.folder, leaves, self.scale)).collect();
        let unet = weave(unet, "unet", leaves, self.scale);
        let vae = weave(vae, "vae", leaves, self.scale);
        Networks { spec, tokenizer, clips, unet, vae }
    }

    /// The new word with the leaves as its vectors; none where no word is trained.
    pub(crate) fn embeddings(&self, leaves: &Leaves) -> EmbeddingSet {
        self.word.as_ref().map_or_else(EmbeddingSet::default, |word| word.embeddings(leaves, &self.networks))
    }
}

/// The checkpoint a run starts from: the recipe's model, with networks made anew where the method wants that.
pub(crate) fn base(
    recipe: &Recipe,
    method: Method,
    store: &Store,
    progress: &mut dyn Progress,
) -> Result<Checkpoint, TrainError> {
    let mut checkpoint = store.open(&recipe.model, progress)?;
    if method == Method::Scratch {
        scratch::renew(&mut checkpoint, recipe)?;
    }
    Ok(checkpoint)
}

/// Weights of the networks that every pass goes through.
fn n_weights(networks: &Networks) -> usize {
    let weights = networks.clips.iter().flat_map(Weights::of).chain(Weights::of(&networks.unet));
    weights.map(|weight| weight.shape.iter().product::<usize>()).sum()
}

/// A weight of a network.
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    read: Box<dyn Fn() -> Vec<f32>>,
}

impl Weight {
    fn values(&self) -> Vec<f32> {
        (self.read)()
    }
}

/// Walks a network and lists its weights, without reading them.
#[derive(Default)]
pub(crate) struct Weights {
    path: Vec<String>,
    found: Vec<Weight>,
}

impl Weights {
    pub(crate) fn of<M: Module>(network: &M) -> Vec<Weight> {
        let mut walk = Self::default();
        network.visit(&mut walk);
        walk.found
    }
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, shape, param) = (self.path.join("."), param.lazy_shape().to_vec(), param.clone());
        let read = move || param.val().cast(DType::F32).into_data().try_to_vec::<f32>().unwrap_or_default();
        self.found.push(Weight { name, shape, read: Box::new(read) });
    }
}

/// The rank of the change to a weight; `None` where there is none.
///
/// Which layers are changed is kohya's choice (`networks/lora.py` of kohya-ss/sd-scripts): every matrix and 1x1 convolution
/// of the UNet's transformers and of the text encoders' attention and MLP layers; with `conv_rank` also the
/// convolutions and time projections of residual blocks and resamplers.
fn rank_of(component: &str, weight: &Weight, recipe: &Recipe) -> Option<usize> {
    if weight.shape.len() < 2 {
        return None; // norms
    }
    let Lora { rank, conv_rank, ranks, .. } = &recipe.lora;
    let is_in = |places: &[&str]| places.iter().any(|place| weight.name.contains(place));
    let of_kind = if is_in(&[".attentions.", ".self_attn.", ".mlp."]) {
        *rank
    } else if is_in(&[".resnets.", ".downsamplers.", ".upsamplers."]) {
        *conv_rank
    } else {
        0
    };
    if of_kind == 0 {
        return None;
    }
    let name = format!("{component}.{}", weight.name);
    let own = ranks.iter().filter(|(beginning, _)| begins_with(&name, beginning));
    let own = own.max_by_key(|(beginning, _)| beginning.len()).map(|(_, rank)| *rank);
    Some(own.unwrap_or(of_kind)).filter(|rank| *rank > 0)
}

/// Whether a layer is one of a part: `unet.mid_block.attentions.0` of `unet.mid_block`, not of `unet.mid`.
fn begins_with(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The two factors of a low-rank change: the first random, as PyTorch fills a layer (`kaiming_uniform_` with a = sqrt(5),
/// which is evenly between -1 and 1 over the root of its inputs), the second zero, so that nothing has changed yet.
fn low_rank(layer: &str, shape: &[usize], rank: usize, seed: u64) -> [(String, Values); 2] {
    let c_out = shape.first().copied().unwrap_or(1);
    let mut down_shape = shape.to_vec();
    let mut up_shape = vec![1; shape.len()];
    for (dims, size) in [(&mut down_shape, [rank, 0]), (&mut up_shape, [c_out, rank])] {
        for (dim, size) in dims.iter_mut().zip(size).filter(|(_, size)| *size > 0) {
            *dim = size;
        }
    }
    let down = scratch::even(&down_shape, derive_seed(&format!("train/{seed}/{layer}{DOWN}"), 0));
    [
        (format!("{layer}{DOWN}"), Values { shape: down_shape, values: down }),
        (format!("{layer}{UP}"), Values { shape: up_shape, values: vec![0.0; c_out * rank] }),
    ]
}
