//! Who turns items into pictures.

use tronie_base::{Faulty, Progress};

use crate::Item;

/// Any error that knows its fault.
pub type BoxedFaulty = Box<dyn Faulty + Send + Sync>;

/// A finished file, metadata included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedImage {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its extension, which must be the one of [`Item::file_name`].
    pub extension: String,
}

/// Makes pictures from items.
///
/// The bytes of an item must depend on the item and the model alone: not on the others of its batch, nor on what
/// was made before. A resumed build forms other batches than an uninterrupted one.
pub trait Generator {
    /// How many items are best handed over at once, at least 1.
    fn batch_size(&self) -> usize;

    /// The model's id, such as `tronie_mini`.
    fn model_id(&self) -> &str;

    /// Hash of the model's weights; a folder is continued only with the model it was begun with.
    fn model_hash(&self) -> &str;

    /// One picture for each of `items`, in their order.
    ///
    /// # Errors
    /// Whatever went wrong; what was made in earlier calls is kept. A cancelled run is
    /// [`tronie_base::Fault::Interrupted`].
    fn generate(
        &mut self,
        items: &[Item],
        progress: &mut dyn Progress,
    ) -> Result<Vec<GeneratedImage>, BoxedFaulty>;
}
