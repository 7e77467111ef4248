//! Going through the pictures of a folder, one line of JSON for each, killed at any moment and continued.
//!
//! Lines are written in the order of the file names, whatever the number of threads, and a line is written whole before
//! the next begins. What a killed run left is kept up to its last whole line; pictures that have a line are not looked at
//! again. A file beside the lines says which annotators made them, so that lines of different ones never mix.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tronie_base::{Progress, write_atomic};
use tronie_image::Pixels;

use crate::{Analyzer, FacesError, Worker};

/// Pictures that are worked on before their lines are written, for each thread.
const PICTURES_PER_ROUND: usize = 8;
/// Endings of the names of pictures.
const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// What a sweep goes through and where it writes.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// The folder of pictures, with the folders in it.
    pub folder: &'a Path,
    /// The file of lines.
    pub out: &'a Path,
    /// What the lines depend on beside the pictures, such as the hashes of networks.
    pub identity: Value,
    /// Number of threads.
    pub n_threads: usize,
    /// Whether lines of another identity are deleted instead of refused.
    pub force: bool,
}

/// How a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SweepSummary {
    /// Pictures in the folder.
    pub n_pictures: usize,
    /// Lines that were there before.
    pub n_kept: usize,
    /// Lines that were added.
    pub n_made: usize,
    /// Files among those that could not be read as pictures.
    pub n_broken: usize,
}

#[derive(Serialize)]
struct Line<'a, R> {
    file: &'a str,
    #[serde(flatten)]
    content: Content<R>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<R> {
    Seen(R),
    Broken { error: String },
}

#[derive(Deserialize)]
struct LineName {
    file: String,
}

/// Looks at every picture below a folder that has no line yet. `look` gets the picture's name below the folder.
///
/// A file that is no readable picture gets a line with the reason and stops nothing.
///
/// # Errors
/// [`FacesError`] for an unreadable folder, lines of another identity, a failing network, or a stop.
pub fn sweep<R: Serialize + Send>(
    sweep: &Sweep<'_>,
    analyzer: &Analyzer,
    look: impl Fn(&Worker, &Pixels, &str) -> Result<R, FacesError> + Sync,
    progress: &mut dyn Progress,
) -> Result<SweepSummary, FacesError> {
    let names = pictures_below(sweep.folder)?;
    let (mut lines, done) = open_lines(sweep)?;
    let todo: Vec<&String> = names.iter().filter(|name| !done.contains(*name)).collect();
    let mut summary =
        SweepSummary { n_pictures: names.len(), n_kept: names.len() - todo.len(), n_made: 0, n_broken: 0 };
    let n_threads = sweep.n_threads.max(1);
    let mut workers: Vec<Worker> = (0..n_threads).map(|_| analyzer.worker()).collect();
    progress.begin("looking", todo.len() as u64);
    for round in todo.chunks(PICTURES_PER_ROUND * n_threads) {
        progress.check()?;
        for (text, is_broken) in
            look_at(round, &mut workers, |worker, name| line(sweep.folder, name, worker, &look))?
        {
            let written = lines.write_all(text.as_bytes());
            written.map_err(|source| write_error(sweep.out, source))?;
            summary.n_made += 1;
            summary.n_broken += usize::from(is_broken);
        }
        progress.advance(round.len() as u64);
    }
    lines.sync_all().map_err(|source| write_error(sweep.out, source))?;
    Ok(summary)
}

/// A line of JSON with its end, and whether its picture could not be read.
type Made = (String, bool);

/// One round: every thread takes the next picture until none is left; results are in the order of the names.
fn look_at(
    names: &[&String],
    workers: &mut [Worker],
    line: impl Fn(&Worker, &str) -> Result<Made, FacesError> + Sync,
) -> Result<Vec<Made>, FacesError> {
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::with_capacity(names.len()));
    let (next_ref, made_ref, line) = (&next, &made, &line);
    thread::scope(|scope| {
        for worker in workers {
            scope.spawn(move || {
                loop {
                    let index = next_ref.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(index) else { break };
                    let line = line(worker, name);
                    made_ref.lock().unwrap_or_else(PoisonError::into_inner).push((index, line));
                }
            });
        }
    });
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, line)| line).collect()
}

fn line<R: Serialize>(
    folder: &Path,
    name: &str,
    worker: &Worker,
    look: impl Fn(&Worker, &Pixels, &str) -> Result<R, FacesError>,
) -> Result<Made, FacesError> {
    let content = match open_picture(&folder.join(name)) {
        Ok(pixels) => Content::Seen(look(worker, &pixels, name)?),
        Err(error) => Content::Broken { error },
    };
    let is_broken = matches!(content, Content::Broken { .. });
    let mut text = serde_json::to_string(&Line { file: name, content })
        .map_err(|source| FacesError::Serialize { file: name.to_owned(), source })?;
    text.push('\n');
    Ok((text, is_broken))
}

/// The picture, or why there is none, without the path of the folder it is in.
fn open_picture(path: &Path) -> Result<Pixels, String> {
    match tronie_image::open(path) {
        Ok(pixels) => Ok(pixels),
        Err(tronie_image::ImageError::InFile { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Names of all pictures below a folder, with `/` between folders, sorted; hidden files and folders are left out.
///
/// # Errors
/// [`FacesError::ReadFolder`]; [`FacesError::NoPictures`] when there are none.
pub fn pictures_below(folder: &Path) -> Result<Vec<String>, FacesError> {
    let mut names = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = folders.pop() {
        let fail = |source| FacesError::ReadFolder { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().map_err(fail)?.is_dir();
            let is_picture = name
                .rsplit_once('.')
                .is_some_and(|(_, end)| EXTENSIONS.contains(&end.to_lowercase().as_str()));
            match name {
                name if name.starts_with('.') => {}
                name if is_folder => folders.push((entry.path(), format!("{prefix}{name}/"))),
                name if is_picture => names.push(format!("{prefix}{name}")),
                _ => {}
            }
        }
    }
    if names.is_empty() {
        return Err(FacesError::NoPictures { folder: folder.to_owned() });
    }
    names.sort();
    Ok(names)
}

/// Opens the file of lines behind its last whole line, and gives the names of the pictures that have one.
fn open_lines(sweep: &Sweep<'_>) -> Result<(File, BTreeSet<String>), FacesError> {
    let identity_path = beside(sweep.out);
    let is_same = read_identity(&identity_path)?.as_ref() == Some(&sweep.identity);
    // An empty file is one whose identity a killed run may not have written.
    let is_new = fs::metadata(sweep.out).map_or(true, |found| found.len() == 0);
    if !is_new && !is_same && !sweep.force {
        return Err(FacesError::OtherLines { path: sweep.out.to_owned() });
    }
    if is_new || !is_same {
        write_atomic(sweep.out, b"")?;
        let identity = format!("{:#}\n", sweep.identity);
        write_atomic(&identity_path, identity.as_bytes())?;
    }
    let fail = |source| FacesError::ReadLines { path: sweep.out.to_owned(), source };
    let mut done = BTreeSet::new();
    let mut whole_bytes = 0;
    let mut reader = BufReader::new(File::open(sweep.out).map_err(fail)?);
    let mut text = Vec::new();
    while reader.read_until(b'\n', &mut text).map_err(fail)? > 0 && text.ends_with(b"\n") {
        let line: LineName = serde_json::from_slice(&text).map_err(|source| FacesError::BrokenLine {
            path: sweep.out.to_owned(),
            line: done.len() + 1,
            source,
        })?;
        whole_bytes += text.len() as u64;
        done.insert(line.file);
        text.clear();
    }
    let mut file = OpenOptions::new().write(true).open(sweep.out).map_err(fail)?;
    file.set_len(whole_bytes).map_err(|source| write_error(sweep.out, source))?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(fail)?;
    Ok((file, done))
}

/// The file that says what made the lines: their name and `.run.json`.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".run.json");
    out.with_file_name(name)
}

fn read_identity(path: &Path) -> Result<Option<Value>, FacesError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FacesError::ReadLines { path: path.to_owned(), source }),
    }
}

fn write_error(path: &Path, source: io::Error) -> FacesError {
    tronie_base::WriteError { path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests;
