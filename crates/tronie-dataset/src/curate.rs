//! A build with rules: rounds of making, looking and deciding until every place is filled, used up or given up.
//!
//! Everything is decided by [`decide`] from the records, so a build that is killed at any moment and continued, shards that
//! are brought together, and a build that never stopped all end alike. Other rules decide again from the same records; only
//! what was never made is made, and only what was never looked at is looked at.

mod finish;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tronie_base::Progress;
use tronie_faces::Taste;
use tronie_image::{Pixels, decode};

use crate::annotations::{Annotations, Content, Line, Reading};
use crate::build::{Crew, Target, fresh_journal};
use crate::candidate::{self, Candidate, Made};
use crate::curation::{Curation, Rejected};
use crate::disk::{Disk, io_error};
use crate::fingerprint::Fingerprint;
use crate::folder::{Header, MANIFEST, Record};
use crate::maker::Maker;
use crate::measurer::Measurer;
use crate::review::Hands;
use crate::rounds::{Decisions, Known, decide};
use crate::{BuildError, Item, Summary};

/// By what a build decides.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) curation: &'a Curation,
    pub(crate) header: &'a Header,
}

/// Candidates that there are, and where.
pub(crate) struct Stock {
    pub(crate) made: BTreeMap<Candidate, Made>,
    /// Whole files; candidates whose bytes were deleted have none.
    pub(crate) files: BTreeMap<Candidate, PathBuf>,
}

/// Builds with rules; the folder is locked and claimed.
pub(crate) fn curate(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    rules: Rules<'_>,
    crew: Crew<'_>,
    progress: &mut dyn Progress,
) -> Result<Summary, BuildError> {
    let Target { spec, folder, options } = *target;
    let recorded = candidate::made(folder)?;
    let hands = Hands::read(folder, &recorded)?;
    let mut stock = stock(target, recorded, rules.curation.rejected, progress)?;
    let n_before = stock.made.len() as u64;
    let records: Vec<Record> =
        stock.made.iter().map(|(&candidate, made)| record(target, candidate, made)).collect();
    let journal = fresh_journal(disk, target, records.iter())?;
    disk.remove(&folder.join(MANIFEST))?;
    let taste = rules.curation.taste.as_deref().map(Taste::open).transpose().map_err(BuildError::Taste)?;
    let reading = Reading { annotators: rules.curation.makers(), taste: taste.as_ref() };
    let mut annotations =
        Annotations::open(folder, &crew.measurer.identity(), reading, &options.shard.tag())?;

    let mut n_made = 0;
    let decisions = loop {
        look_at_new(disk, &mut stock, &mut annotations, (&mut *crew.measurer, &mut *progress))?;
        let looked = stock.made.iter();
        let looked =
            looked.filter_map(|(&candidate, made)| Some((candidate, annotations.get(&made.sha256)?)));
        let known = Known {
            spec,
            curation: rules.curation,
            hands: &hands,
            looked: looked.collect(),
            range: options.shard.range(spec.n_images()),
        };
        let decisions = decide(&known);
        let needed = needed(&decisions, &stock);
        if needed.is_empty() {
            break decisions;
        }
        n_made += needed.len() as u64;
        let maker =
            Maker { disk: &mut *disk, folder, journal: journal.clone(), generator: &mut *crew.generator };
        make(maker, target, &needed, (&mut stock, &mut *progress))?;
    };
    let n_kept = decisions.cells.iter().map(|tally| tally.n_kept).sum::<u64>();
    let n_open = spec.n_images() - n_kept - decisions.n_waiting;
    if decisions.n_waiting == 0 {
        finish::finish(
            disk,
            target,
            rules,
            finish::Found { decisions: &decisions, stock, annotations },
            progress,
        )?;
    }
    Ok(Summary {
        n_images: spec.n_images(),
        n_made,
        n_kept: n_before,
        n_missing: decisions.n_waiting,
        n_open,
    })
}

/// What was made and is whole. Where rejected pictures are deleted, those without a file count too.
fn stock(
    target: &Target<'_>,
    recorded: BTreeMap<Candidate, Made>,
    rejected: Rejected,
    progress: &mut dyn Progress,
) -> Result<Stock, BuildError> {
    progress.begin("checking finished images", recorded.len() as u64);
    let mut stock = Stock { made: BTreeMap::new(), files: BTreeMap::new() };
    // Two candidates of the same bytes need a file each.
    let mut taken = HashSet::new();
    for (candidate, made) in recorded {
        progress.check()?;
        progress.advance(1);
        if candidate.slot >= target.spec.n_images() {
            continue;
        }
        let file =
            candidate.find(target.spec, target.folder, &made).filter(|path| taken.insert(path.clone()));
        if file.is_some() || rejected == Rejected::Delete {
            stock.made.insert(candidate, made);
        }
        stock.files.extend(file.map(|path| (candidate, path)));
    }
    Ok(stock)
}

fn record(target: &Target<'_>, candidate: Candidate, made: &Made) -> Record {
    let file_name = candidate.born(target.spec);
    Record { file_name, n_bytes: made.n_bytes, sha256: made.sha256.clone() }
}

/// What decisions ask for, and the kept pictures whose bytes are gone.
fn needed(decisions: &Decisions, stock: &Stock) -> Vec<Candidate> {
    if !decisions.needed.is_empty() || decisions.n_waiting > 0 {
        return decisions.needed.clone();
    }
    let kept = decisions.kept();
    kept.filter(|candidate| !stock.files.contains_key(candidate)).collect()
}

fn make(
    mut maker: Maker<'_>,
    target: &Target<'_>,
    needed: &[Candidate],
    (stock, progress): (&mut Stock, &mut dyn Progress),
) -> Result<(), BuildError> {
    progress.begin("making images", needed.len() as u64);
    let mut keep = |item: &Item, record: Record| {
        let candidate = Candidate { slot: item.index, attempt: item.attempt };
        stock.made.insert(candidate, Made { n_bytes: record.n_bytes, sha256: record.sha256 });
        stock.files.insert(candidate, target.folder.join(record.file_name));
    };
    for batch in needed.chunks(maker.generator.batch_size().max(1)) {
        let items: Vec<Item> =
            batch.iter().filter_map(|&candidate| target.spec.candidate(candidate)).collect();
        maker.make(&items, &mut keep, progress)?;
    }
    Ok(())
}

/// Looks at every candidate that nobody has looked at. One that has no file is forgotten, and made again if it is needed.
fn look_at_new(
    disk: &mut dyn Disk,
    stock: &mut Stock,
    annotations: &mut Annotations<'_>,
    (measurer, progress): (&mut dyn Measurer, &mut dyn Progress),
) -> Result<(), BuildError> {
    let files = &stock.files;
    let is_known = |made: &Made| annotations.get(&made.sha256).is_some();
    stock.made.retain(|candidate, made| is_known(made) || files.contains_key(candidate));
    let made = stock.made.iter();
    let pictures =
        made.filter_map(|(candidate, made)| Some((files.get(candidate)?.as_path(), made.sha256.as_str())));
    look(disk, pictures, annotations, (measurer, progress))
}

/// Looks at pictures (file, and its hash) that nobody has looked at.
pub(crate) fn look<'p>(
    disk: &mut dyn Disk,
    pictures: impl Iterator<Item = (&'p Path, &'p str)>,
    annotations: &mut Annotations<'_>,
    (measurer, progress): (&mut dyn Measurer, &mut dyn Progress),
) -> Result<(), BuildError> {
    let mut hashes = HashSet::new();
    let is_new = |&(_, hash): &(&Path, &'p str)| annotations.get(hash).is_none() && hashes.insert(hash);
    let new: Vec<(&Path, &str)> = pictures.filter(is_new).collect();
    progress.begin("looking", new.len() as u64);
    for batch in new.chunks(measurer.batch_size().max(1)) {
        progress.check()?;
        for line in lines(batch, measurer)? {
            annotations.add(disk, &line)?;
        }
        progress.advance(batch.len() as u64);
    }
    Ok(())
}

/// The lines of some pictures, in their order.
fn lines(batch: &[(&Path, &str)], measurer: &mut dyn Measurer) -> Result<Vec<Line>, BuildError> {
    let opened: Vec<Opened> = batch.par_iter().map(|(path, _)| open(path)).collect::<Result<_, _>>()?;
    let (pictures, contents): (Vec<Option<Pixels>>, Vec<Result<Fingerprint, String>>) =
        opened.into_iter().unzip();
    let pictures: Vec<Pixels> = pictures.into_iter().flatten().collect();
    let seen = measurer.measure(&pictures).map_err(|cause| BuildError::Measure { cause })?;
    if seen.len() != pictures.len() {
        return Err(BuildError::BadMeasurer { found: seen.len(), expected: pictures.len() });
    }
    let mut seen = seen.into_iter();
    let mut content = |found: Result<Fingerprint, String>| match found {
        Ok(Fingerprint { pixels_sha256, hash }) => {
            Some(Content::Seen { pixels_sha256, perceptual_hash: format!("{hash:016x}"), seen: seen.next()? })
        }
        Err(error) => Some(Content::Broken { error }),
    };
    let lines = contents.into_iter().zip(batch).filter_map(|(found, (_, sha256))| {
        Some(Line { sha256: (*sha256).to_owned(), content: content(found)? })
    });
    Ok(lines.collect())
}

/// A picture with its fingerprint, or why it cannot be read.
type Opened = (Option<Pixels>, Result<Fingerprint, String>);

fn open(path: &Path) -> Result<Opened, BuildError> {
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    let opened = decode(&bytes).and_then(|pixels| Ok((Fingerprint::of(&pixels)?, pixels)));
    Ok(match opened {
        Ok((fingerprint, pixels)) => (Some(pixels), Ok(fingerprint)),
        Err(error) => (None, Err(error.to_string())),
    })
}

#[cfg(test)]
mod tests;
