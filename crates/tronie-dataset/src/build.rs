//! Making a dataset, resumably.
//!
//! An image appears under its name whole, then its line in the journal. Whatever moment the process dies at, the next
//! run finds pairs of image and line whose hashes agree and keeps them; everything else is made again, to the same
//! bytes. What is written at the end depends on the spec and the images alone.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tronie_base::{FolderLock, Progress};

use crate::candidate::Candidate;
use crate::curate::{self, Rules};
use crate::disk::{Disk, RealDisk, hash_file};
use crate::folder::{self, Claim, Header, MANIFEST, Record};
use crate::generator::Generator;
use crate::maker::Maker;
use crate::measurer::Measurer;
use crate::{BuildError, Item, Spec, report};

/// One of `n_shards` equal parts of a dataset: a range of consecutive indices, each as balanced as the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    n_shards: u64,
}

impl Shard {
    /// The whole dataset.
    pub const ALL: Self = Self { number: 1, n_shards: 1 };

    /// Shard `number`, from 1, of `n_shards`.
    ///
    /// # Errors
    /// [`BuildError::BadShard`] unless `1 <= number <= n_shards`.
    pub fn new(number: u64, n_shards: u64) -> Result<Self, BuildError> {
        if !(1..=n_shards).contains(&number) {
            return Err(BuildError::BadShard { found: format!("{number}/{n_shards}") });
        }
        Ok(Self { number, n_shards })
    }

    /// The indices of this shard in a dataset of `n_images`.
    #[must_use]
    pub fn range(self, n_images: u64) -> Range<u64> {
        let start = |number: u64| {
            let product = u128::from(n_images) * u128::from(number) / u128::from(self.n_shards);
            u64::try_from(product).unwrap_or(n_images)
        };
        start(self.number - 1)..start(self.number)
    }

    fn journal(self) -> String {
        match self.n_shards {
            1 => "journal.jsonl".to_owned(),
            _ => format!("journal-{}.jsonl", self.tag()),
        }
    }

    /// `2-of-8`, for names of files.
    pub(crate) fn tag(self) -> String {
        format!("{}-of-{}", self.number, self.n_shards)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.n_shards)
    }
}

/// `"2/8"`, as it is typed.
impl FromStr for Shard {
    type Err = BuildError;

    fn from_str(text: &str) -> Result<Self, BuildError> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let shard = numbers.and_then(|(number, n_shards)| Self::new(number, n_shards).ok());
        shard.ok_or_else(|| BuildError::BadShard { found: text.to_owned() })
    }
}

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildOptions {
    /// Which part to make. The folders of shards made elsewhere are merged by copying them into one; building that
    /// once more completes it.
    pub shard: Shard,
    /// Delete what another spec or model has made in the folder, instead of refusing.
    pub force: bool,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { shard: Shard::ALL, force: false }
    }
}

/// What a build has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Images of the whole dataset.
    pub n_images: u64,
    /// Images made by this build.
    pub n_made: u64,
    /// Images that were there already, with the right hash.
    pub n_kept: u64,
    /// Images of other shards that are not there yet.
    pub n_missing: u64,
    /// Places that no attempt has filled; always 0 without curation.
    pub n_open: u64,
}

impl Summary {
    /// Whether every image that can be there is there, and with them the files that are written at the end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.n_missing == 0
    }
}

/// Who does the work of a build.
pub struct Crew<'a> {
    /// Makes the pictures.
    pub generator: &'a mut dyn Generator,
    /// Looks at candidates; only specs with rules of curation need it.
    pub measurer: &'a mut dyn Measurer,
}

/// Makes the dataset of `spec` in `folder`, or continues it.
///
/// # Errors
/// [`BuildError`]; what was finished is kept, and the same call continues.
pub fn build(
    spec: &Spec,
    folder: &Path,
    crew: Crew<'_>,
    options: BuildOptions,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    let target = Target { spec, folder, options };
    build_on(&mut RealDisk, &target, crew, progress)
}

/// What is built where.
pub(crate) struct Target<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) folder: &'a Path,
    pub(crate) options: BuildOptions,
}

pub(crate) fn build_on(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    crew: Crew<'_>,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    let Target { spec, folder, options } = *target;
    let generator = &*crew.generator;
    folder::check_free(folder, spec)?;
    let _lock = FolderLock::take(folder)?;
    let header = Header {
        name: spec.name().to_owned(),
        version: spec.version(),
        identity: spec.identity().to_owned(),
        model_id: generator.model_id().to_owned(),
        model_hash: generator.model_hash().to_owned(),
        n_images: spec.n_images(),
        curation: spec.curation().map(|curation| curation.identity.clone()),
    };
    let changed_rules = folder::changed_rules(folder, spec);
    folder::claim(folder, &Claim { spec, header: &header, force: options.force }, disk)?;
    for change in changed_rules {
        progress.note(&format!("deciding again by other rules: {change}"));
    }
    match spec.curation() {
        Some(curation) => curate::curate(disk, target, Rules { curation, header: &header }, crew, progress),
        None => make_all(disk, target, &header, crew.generator, progress),
    }
}

/// A build without curation: every picture that is made is kept.
fn make_all(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    header: &Header,
    generator: &mut dyn Generator,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    let Target { spec, folder, options } = *target;
    let mut records = verified(target, progress)?;
    let n_kept = records.iter().flatten().count() as u64;
    let journal = fresh_journal(disk, target, records.iter().flatten())?;
    let range = options.shard.range(spec.n_images());
    let missing: Vec<u64> = range.filter(|&index| record(&records, index).is_none()).collect();
    if !missing.is_empty() {
        disk.remove(&folder.join(MANIFEST))?;
    }
    progress.begin("making images", missing.len() as u64);
    let mut maker = Maker { disk, folder, journal, generator };
    let mut keep = |item: &Item, record| {
        let slot = usize::try_from(item.index).ok().and_then(|index| records.get_mut(index));
        if let Some(slot) = slot {
            *slot = Some(record);
        }
    };
    for batch in missing.chunks(maker.generator.batch_size().max(1)) {
        let items: Vec<_> = batch.iter().filter_map(|&index| spec.item(index)).collect();
        maker.make(&items, &mut keep, progress)?;
    }
    let n_missing = spec.n_images() - records.iter().flatten().count() as u64;
    if n_missing == 0 {
        let slots = (0..).map(|slot| Candidate { slot, attempt: 0 });
        let pictures: Vec<_> = slots.zip(records.into_iter().flatten()).collect();
        finish(disk, target, &report::Finished { header, pictures: &pictures, curated: None }, progress)?;
    }
    let n_made = missing.len() as u64;
    Ok(Summary { n_images: spec.n_images(), n_made, n_kept, n_missing, n_open: 0 })
}

fn record(records: &[Option<Record>], index: u64) -> Option<&Record> {
    records.get(usize::try_from(index).ok()?)?.as_ref()
}

/// For every index the record of its image, where the image has the recorded hash.
fn verified(target: &Target<'_>, progress: &mut dyn Progress) -> Result<Vec<Option<Record>>, BuildError> {
    let mut known = folder::records(target.folder)?;
    progress.begin("checking finished images", known.len() as u64);
    let mut records = Vec::new();
    for index in 0..target.spec.n_images() {
        let record = known.remove(&target.spec.file_name(index));
        let intact = match record {
            Some(record) => {
                progress.check()?;
                progress.advance(1);
                // An image that cannot be read is made again.
                let found = hash_file(&target.folder.join(&record.file_name)).ok();
                (found == Some((record.sha256.clone(), record.n_bytes))).then_some(record)
            }
            None => None,
        };
        records.push(intact);
    }
    Ok(records)
}

/// Writes one journal of everything verified in place of all there were: their last lines may be cut short.
pub(crate) fn fresh_journal<'r>(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    records: impl Iterator<Item = &'r Record> + Clone,
) -> Result<PathBuf, BuildError> {
    let path = target.folder.join(target.options.shard.journal());
    disk.write(&path, &mut |file| {
        records.clone().try_for_each(|record| file.write_all(record.line().as_bytes()))
    })?;
    for other in folder::journals(target.folder)? {
        if other != path {
            disk.remove(&other)?;
        }
    }
    Ok(path)
}

/// Writes what describes the dataset, the manifest last, and removes the journals.
pub(crate) fn finish(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    finished: &report::Finished<'_>,
    progress: &mut dyn Progress,
) -> Result<(), BuildError> {
    progress.begin("writing the summary", 1);
    report::write(disk, target, finished)?;
    for journal in folder::journals(target.folder)? {
        disk.remove(&journal)?;
    }
    progress.advance(1);
    Ok(())
}

#[cfg(test)]
mod tests;
