//! WebDataset: tar files in which the members of one picture lie together and share the part of their names before the
//! first dot. <https://github.com/webdataset/webdataset#the-webdataset-format>
//!
//! The same pictures give the same bytes: members are in the order of the collection, owned by nobody, of one time.

use serde_json::Value;
use tar::{Builder, EntryType, Header};
use tronie_base::Progress;

use super::context::{Context, Item};
use super::labels;
use super::staging::{Staged, Staging};
use super::{ExportError, FormatRow};

pub(super) const ROW: FormatRow = FormatRow {
    id: "webdataset",
    title: "webdataset, streaming loaders",
    layout: "`train-000000.tar` and on, the same for other splits; members `000000000.png`, `.json`, `.txt` (the caption), \
             `.seg.png` (with `--masks`)",
    needs: None,
    write,
};

/// Most pictures of one file.
const PICTURES_PER_FILE: usize = 10_000;
/// Bytes after which a file is closed.
const BYTES_PER_FILE: u64 = 1_000_000_000;

struct Shard {
    name: String,
    tar: Builder<Staged>,
    n_pictures: usize,
    n_bytes: u64,
}

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    progress.begin("exporting", context.collection.pictures.len() as u64);
    for split in context.collection.splits() {
        let mut n_shards = 0;
        let mut open: Option<Shard> = None;
        for (number, index) in context.indices(split).into_iter().enumerate() {
            progress.check()?;
            let Some(item) = context.item(index)? else { continue };
            if open.as_ref().is_some_and(Shard::is_full) {
                close(staging, open.take())?;
            }
            let shard = match open.take() {
                Some(shard) => shard,
                None => {
                    let name = format!("{}-{n_shards:06}.tar", split.name());
                    n_shards += 1;
                    Shard { tar: Builder::new(staging.create(&name)?), name, n_pictures: 0, n_bytes: 0 }
                }
            };
            open = Some(add(context, staging, shard, (number, &item))?);
            staging.count_picture();
            progress.advance(1);
        }
        close(staging, open)?;
    }
    Ok(())
}

impl Shard {
    fn is_full(&self) -> bool {
        self.n_pictures >= PICTURES_PER_FILE || self.n_bytes >= BYTES_PER_FILE
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        self.n_bytes += bytes.len() as u64;
        self.tar.append_data(&mut header, name, bytes)
    }
}

/// Adds the members of a picture. Its key is a number: the first dot of a name would end it.
fn add(
    context: &Context<'_>,
    staging: &Staging,
    mut shard: Shard,
    (number, item): (usize, &Item<'_>),
) -> Result<Shard, ExportError> {
    let ending = item.name.rsplit_once('.').map_or("", |(_, ending)| ending).to_lowercase();
    let row = Value::Object(context.row(item.picture, item.name)).to_string();
    let mut members = vec![(ending, item.bytes.clone()), ("json".to_owned(), row.into_bytes())];
    if context.options.masks.is_some() {
        members.push(("seg.png".to_owned(), labels::of(context, item)?.encode(None)?));
    }
    members.extend(item.picture.caption.iter().map(|text| ("txt".to_owned(), text.clone().into_bytes())));
    for (ending, bytes) in members {
        let added = shard.member(&format!("{number:09}.{ending}"), &bytes);
        added.map_err(|source| staging.fail(&shard.name, source))?;
    }
    shard.n_pictures += 1;
    Ok(shard)
}

fn close(staging: &mut Staging, shard: Option<Shard>) -> Result<(), ExportError> {
    let Some(shard) = shard else { return Ok(()) };
    let file = shard.tar.into_inner().map_err(|source| staging.fail(&shard.name, source))?;
    staging.close(file)
}
