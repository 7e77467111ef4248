//! Annotators chosen, checked and opened once, and run on pictures by as many threads as wanted.

use std::collections::BTreeMap;
use std::fmt;

use tronie_image::Pixels;

use crate::annotators::{ANNOTATORS, Annotator, AnnotatorRow, Part, Source, annotator};
use crate::networks::NetworkFolders;
use crate::onnx::Network;
use crate::{Face, FacesError};

/// A set of annotators with their networks loaded.
#[derive(Debug, Clone)]
pub struct Analyzer {
    chosen: Vec<(&'static AnnotatorRow, Option<Network>)>,
}

/// The annotators that run when `ids` are chosen: the default ones, each replaced by a chosen one that makes the same
/// part, and what is chosen beside them. Of default ones that make the same part, the first that is in the folders or in the
/// program runs; one that was chosen runs or is missed, whatever there is.
///
/// # Errors
/// [`FacesError::UnknownAnnotator`].
pub fn with_defaults(
    ids: &[String],
    folders: &NetworkFolders,
) -> Result<Vec<&'static AnnotatorRow>, FacesError> {
    let chosen: Vec<_> = ids.iter().map(|id| annotator(id)).collect::<Result<_, _>>()?;
    let is_chosen = |row: &AnnotatorRow| chosen.iter().any(|chosen| chosen.id == row.id);
    let is_replaced =
        |row: &AnnotatorRow| chosen.iter().any(|chosen| chosen.makes.first() == row.makes.first());
    let is_here = |row: &AnnotatorRow| match &row.source {
        Source::Network(network, _) => folders.holds(network),
        Source::Embedded(..) | Source::Arithmetic(_) => true,
    };
    let mut rows: Vec<&'static AnnotatorRow> = Vec::new();
    for row in ANNOTATORS {
        let makes = |other: &&AnnotatorRow| row.makes.first().is_some_and(|part| other.makes.contains(part));
        let stand_ins = ANNOTATORS.iter().filter(|other| other.is_default && !is_replaced(other));
        let is_wanted = || {
            let is_made = rows.iter().any(makes);
            let is_missed =
                !is_here(row) && stand_ins.into_iter().any(|other| is_here(other) && makes(&other));
            row.is_default && !is_replaced(row) && !is_made && !is_missed
        };
        if is_chosen(row) || is_wanted() {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The annotators that are needed to make a part of each face, of the default ones and `ids`.
///
/// # Errors
/// [`FacesError::UnknownAnnotator`].
pub fn needed_for(
    part: Part,
    ids: &[String],
    folders: &NetworkFolders,
) -> Result<Vec<&'static AnnotatorRow>, FacesError> {
    let all = with_defaults(ids, folders)?;
    let mut wanted = vec![part];
    let mut needed: Vec<&'static AnnotatorRow> = Vec::new();
    // From the last to the first: whoever makes a part may read others. Of several makers the first is enough.
    for (index, &row) in all.iter().enumerate().rev() {
        let before = all.get(..index).unwrap_or_default();
        let is_first_maker = |part: &&Part| !before.iter().any(|row| row.makes.contains(part));
        if row.makes.iter().filter(is_first_maker).any(|made| wanted.contains(made)) {
            wanted.extend(row.reads);
            needed.push(row);
        }
    }
    needed.reverse();
    Ok(needed)
}

impl Analyzer {
    /// Opens the networks of some annotators.
    ///
    /// # Errors
    /// [`FacesError::Incomplete`] when one reads what none before it makes, and what [`NetworkFolders::open`] refuses.
    pub fn open(rows: &[&'static AnnotatorRow], folders: &NetworkFolders) -> Result<Self, FacesError> {
        let mut made: Vec<Part> = Vec::new();
        let mut chosen = Vec::new();
        for &row in rows {
            if let Some(missing) = row.reads.iter().find(|part| !made.contains(part)) {
                return Err(FacesError::Incomplete { annotator: row.id, missing: missing.name() });
            }
            made.extend(row.makes);
            let network = match &row.source {
                Source::Network(network, _) => Some(folders.open(row.id, network)?),
                Source::Embedded(network, bytes, _) => {
                    Some(folders.open_or_embedded(row.id, network, bytes())?)
                }
                Source::Arithmetic(_) => None,
            };
            chosen.push((row, network));
        }
        Ok(Self { chosen })
    }

    /// Ids of the annotators, with the SHA-256 of the network of those that have one.
    #[must_use]
    pub fn identity(&self) -> BTreeMap<String, Option<String>> {
        let hash = |network: &Option<Network>| network.as_ref().map(|network| network.sha256().to_owned());
        self.chosen.iter().map(|(row, network)| (row.id.to_owned(), hash(network))).collect()
    }

    /// The annotators of one thread.
    #[must_use]
    pub fn worker(&self) -> Worker {
        let open = |(row, network): &(&AnnotatorRow, Option<Network>)| match (&row.source, network) {
            (Source::Network(_, open) | Source::Embedded(_, _, open), Some(network)) => {
                Some(open(network.session()))
            }
            (Source::Arithmetic(open), _) => Some(open()),
            (Source::Network(..) | Source::Embedded(..), None) => None, // `open` leaves no network out
        };
        Worker { annotators: self.chosen.iter().filter_map(open).collect() }
    }
}

/// The annotators of an [`Analyzer`], for one thread.
pub struct Worker {
    annotators: Vec<Box<dyn Annotator>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("n_annotators", &self.annotators.len()).finish()
    }
}

impl Worker {
    /// Everything the annotators say about the faces of a picture, the surest face first.
    ///
    /// # Errors
    /// [`FacesError`] when a network fails.
    pub fn faces(&self, picture: &Pixels) -> Result<Vec<Face>, FacesError> {
        let mut faces = Vec::new();
        for annotator in &self.annotators {
            annotator.annotate(picture, &mut faces)?;
            if faces.is_empty() {
                break;
            }
        }
        Ok(faces)
    }
}
