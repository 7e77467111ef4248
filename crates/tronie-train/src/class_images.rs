//! Pictures of the class, for prior preservation: made by the model itself before it is trained.
//!
//! Ruiz et al. 2022 (DreamBooth, arXiv:2208.12242), section 3.2.

use std::fs;

use tronie_base::Progress;
use tronie_generate::GenerateRequest;
use tronie_image::ImageFormat;

use crate::TrainError;
use crate::recipe::Recipe;
use crate::run::save_image;
use crate::trainee::Trainee;

/// Fills the recipe's class folder up to the number of pictures it asks for. Picture i has seed i, so what an interrupted
/// run has made is not made again.
pub(crate) fn complete(
    recipe: &Recipe,
    trainee: &Trainee,
    progress: &mut dyn Progress,
) -> Result<(), TrainError> {
    let Some(folder) = recipe.class_folder().filter(|_| !recipe.prior.prompt.is_empty()) else {
        return Ok(());
    };
    let n_there = fs::read_dir(folder).into_iter().flatten().flatten();
    let n_there = n_there.filter(|entry| ImageFormat::from_path(&entry.path()).is_ok()).count() as u64;
    let wanted = u64::from(recipe.prior.n_images);
    if n_there >= wanted {
        return Ok(());
    }
    let pipeline = trainee.pipeline(trainee.networks.clone());
    progress.begin("class pictures", wanted);
    let mut n_missing = wanted - n_there;
    progress.advance(n_there);
    for seed in 0..wanted {
        let path = folder.join(format!("class-{seed:06}.png"));
        if n_missing == 0 || path.exists() {
            continue;
        }
        progress.check()?;
        let request = GenerateRequest {
            model: recipe.model.clone(),
            seed,
            width_px: recipe.size_px.map(|size| size[0]),
            height_px: recipe.size_px.map(|size| size[1]),
            ..GenerateRequest::new(&recipe.prior.prompt)
        };
        save_image(&pipeline, &request, &path)?;
        n_missing -= 1;
        progress.advance(1);
    }
    Ok(())
}
