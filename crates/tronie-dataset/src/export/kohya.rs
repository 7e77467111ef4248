//! Folders of kohya's trainers: `<repeats>_<words>` with pictures and their captions.
//!
//! <https://github.com/kohya-ss/sd-scripts/blob/main/docs/train_README-zh.md>; a folder of regularization pictures has the
//! same form, with the words of the class alone.

use tronie_base::Progress;

use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow};

pub(super) const ROW: FormatRow = FormatRow {
    id: "kohya",
    title: "kohya's sd-scripts and trainers that read its folders",
    layout: "`train/1_woman/NAME.png` and `NAME.txt`; repeats from `--repeats`, words from `--words`, the pictures' class, or the \
             name of the dataset",
    needs: None,
    write,
};

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    let (collection, options) = (context.collection, context.options);
    context.each(progress, |item| {
        let class = options.words.as_ref().or(item.picture.class.as_ref()).unwrap_or(&collection.about.name);
        // A slash would begin another folder.
        let words = class.replace(['/', '\\'], "-");
        let folder = format!("{}/{}_{words}", item.picture.split.name(), options.repeats);
        staging.write(&format!("{folder}/{}", item.name), &item.bytes)?;
        staging.count_picture();
        match &item.picture.caption {
            Some(caption) => staging.write(&format!("{folder}/{}.txt", item.stem()), caption.as_bytes()),
            None => Ok(()),
        }
    })
}
