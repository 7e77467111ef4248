//! The end of a build with rules: every candidate gets its place, and the folder says what was decided and how it went.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;
use tronie_base::Progress;

use super::{Rules, Stock};
use crate::annotations::{Annotations, Looked};
use crate::audit::audit;
use crate::build::{self, Target};
use crate::candidate::{CANDIDATES, Candidate};
use crate::curation::Rejected;
use crate::disk::{Disk, hash_file, io_error};
use crate::folder::{CANDIDATE_LINES, IMAGES, Record, names};
use crate::measures::Measures;
use crate::report::{Curated, Finished};
use crate::review::{Decided, Decision};
use crate::rounds::{Decisions, Fate};
use crate::{BuildError, Spec};

/// Everything that a build has found.
pub(super) struct Found<'a> {
    pub(super) decisions: &'a Decisions,
    pub(super) stock: Stock,
    pub(super) annotations: Annotations<'a>,
}

pub(super) fn finish(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    rules: Rules<'_>,
    mut found: Found<'_>,
    progress: &mut dyn Progress,
) -> Result<(), BuildError> {
    let Target { spec, folder, .. } = *target;
    arrange(disk, target, rules, &mut found)?;
    let decided = decided(spec, rules, &found);
    disk.write(&folder.join(CANDIDATE_LINES), &mut |file| {
        decided.iter().try_for_each(|decided| writeln!(file, "{}", json!(decided)))
    })?;
    let hashes = decided.iter().map(|decided| decided.sha256.as_str());
    let annotations = found.annotations.finish(disk, hashes)?;
    let mut files = Vec::new();
    for name in [annotations, CANDIDATE_LINES.to_owned()] {
        let path = folder.join(&name);
        files.push((name, hash_file(&path).map_err(|source| io_error(&path, source))?.0));
    }
    let (kept, lost): (Vec<&Decided>, Vec<&Decided>) =
        decided.iter().partition(|decided| decided.decision == Decision::Kept);
    let lost = lost.into_iter();
    files.extend(lost.filter_map(|decided| Some((decided.file_name.clone()?, decided.sha256.clone()))));
    let pictures: Vec<(Candidate, Record)> = kept.iter().filter_map(|decided| picture(decided)).collect();
    let audit = audit(spec, rules.curation, &decided);
    let curated = Curated { audit: &audit, kept: &kept, files: &files };
    let finished = Finished { header: rules.header, pictures: &pictures, curated: Some(curated) };
    build::finish(disk, target, &finished, progress)
}

fn picture(decided: &Decided) -> Option<(Candidate, Record)> {
    let file_name = decided.file_name.clone()?;
    let record = Record { file_name, n_bytes: decided.n_bytes, sha256: decided.sha256.clone() };
    Some((Candidate::parse(&decided.candidate)?, record))
}

/// Moves files to where the decisions want them; those that leave `images` first, so that others can take their names.
fn arrange(
    disk: &mut dyn Disk,
    target: &Target<'_>,
    rules: Rules<'_>,
    found: &mut Found<'_>,
) -> Result<(), BuildError> {
    let Target { spec, folder, .. } = *target;
    for (&candidate, _) in found.decisions.fates.iter().filter(|(_, fate)| **fate != Fate::Kept) {
        let Some(path) = found.stock.files.get_mut(&candidate) else { continue };
        let wanted = folder.join(candidate.rejected(spec));
        match rules.curation.rejected {
            Rejected::Delete => {
                disk.remove(path)?;
                disk.remove(&wanted)?;
                found.stock.files.remove(&candidate);
            }
            Rejected::Keep if *path != wanted => {
                disk.rename(path, &wanted)?;
                *path = wanted;
            }
            Rejected::Keep => {}
        }
    }
    for candidate in found.decisions.kept() {
        let Some(path) = found.stock.files.get_mut(&candidate) else { continue };
        let wanted = folder.join(spec.file_name(candidate.slot));
        if *path != wanted {
            disk.rename(path, &wanted)?;
            *path = wanted;
        }
    }
    // A picture in a place that nothing fills is a damaged one: whole ones have been moved.
    let filled: BTreeSet<u64> = found.decisions.kept().map(|candidate| candidate.slot).collect();
    let images = folder.join(IMAGES);
    for name in names(&images)? {
        if Candidate::parse(&name).is_some_and(|candidate| !filled.contains(&candidate.slot)) {
            disk.remove(&images.join(name))?;
        }
    }
    // Pictures whose line was lost were made again under the same name or are no longer asked for.
    let candidates = folder.join(CANDIDATES);
    for name in names(&candidates)? {
        disk.remove(&candidates.join(name))?;
    }
    // A folder that somebody has put more into stays.
    let _ = fs::remove_dir(&candidates);
    Ok(())
}

fn decided(spec: &Spec, rules: Rules<'_>, found: &Found<'_>) -> Vec<Decided> {
    let of = |(&candidate, fate): (&Candidate, &Fate)| {
        let item = spec.candidate(candidate)?;
        let made = found.stock.made.get(&candidate)?;
        let (decision, reasons) = match fate {
            Fate::Kept => (Decision::Kept, Vec::new()),
            Fate::Dropped(reasons) => (Decision::Dropped, reasons.clone()),
            Fate::Spare => (Decision::Spare, Vec::new()),
        };
        let file_name = match (decision, rules.curation.rejected) {
            (Decision::Kept, _) => Some(spec.file_name(candidate.slot)),
            (_, Rejected::Keep) => Some(candidate.rejected(spec)),
            (_, Rejected::Delete) => None,
        };
        let measures = match found.annotations.get(&made.sha256) {
            Some(Looked::Seen(look)) => look.measures.clone(),
            _ => Measures::new(),
        };
        Some(Decided {
            candidate: candidate.name(spec),
            file_name,
            cell: item.cell,
            text: item.prompt,
            seed: item.seed,
            attributes: item.attributes,
            measures,
            decision,
            reasons,
            n_bytes: made.n_bytes,
            sha256: made.sha256.clone(),
        })
    };
    found.decisions.fates.iter().filter_map(of).collect()
}
