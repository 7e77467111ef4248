//! `tronie faces compose`: one face of the best regions of several versions, for one picture or for folders of them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tronie_base::{Progress as _, sha256_hex, write_atomic};
use tronie_faces::{
    Blending, Choice, Composition, FACE_REGIONS, Face, FaceRegion, FacesError, Metric, Part, Version, Worker,
    compose, face_region, pictures_below,
};
use tronie_image::{
    ImageFormat, Pixels, TextEntry, decode, encode, is_declared_synthetic, read_file, read_text,
    synthetic_packet,
};

use super::Eyes;
use crate::report::Report;
use crate::ui::Ui;

/// Key of the picture's own text entry: sources, regions, scores.
const KEYWORD: &str = "tronie composition";
/// Regions that are chosen by their defects when nothing is said: those that do not overlap.
const AUTOMATIC: [&str; 4] = ["eyes", "brows", "nose", "mouth"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pictures of one face, the first one being changed; or folders with pictures of the same names
    #[arg(required = true, num_args = 2..)]
    versions: Vec<PathBuf>,
    /// Where regions come from: eyes=B,mouth=C (A is the first version), or the version's file name; eyes=best. All but
    /// the overlapping ones, each the best, when left out
    #[arg(long, value_delimiter = ',', value_name = "REGION=VERSION")]
    regions: Vec<String>,
    /// poisson (colours bend to those around) or feather (a soft edge)
    #[arg(long, default_value = "poisson", value_parser = parse_blending)]
    blend: Blending,
    /// The picture to write (PNG), or the folder for folders
    #[arg(long, short, default_value = "composed.png")]
    out: PathBuf,
    #[command(flatten)]
    eyes: Eyes,
}

fn parse_blending(text: &str) -> Result<Blending, String> {
    let found = Blending::ALL.into_iter().find(|(id, _)| *id == text);
    found.map(|(_, blending)| blending).ok_or_else(|| "expected poisson or feather".to_owned())
}

pub(super) fn run(args: &Args, ui: &mut Ui) -> Result<(), Report> {
    let workers = Workers::open(&args.eyes)?;
    if args.versions.iter().all(|path| path.is_dir()) {
        return batch(args, &workers, ui);
    }
    let (text, value) = one(args, &workers, &args.versions, &args.out)?;
    ui.result(&text, value)
}

/// Every picture whose name is in all folders.
fn batch(args: &Args, workers: &Workers, ui: &mut Ui) -> Result<(), Report> {
    let first = args.versions.first().cloned().unwrap_or_default();
    let names = pictures_below(&first)?;
    let in_all = |name: &&String| args.versions.iter().all(|folder| folder.join(name).is_file());
    let names: Vec<&String> = names.iter().filter(in_all).collect();
    if names.is_empty() {
        let message = format!("no picture of {} has its name in all other folders too", first.display());
        return Err(Report::input(message, Some("versions of one picture have one name")));
    }
    ui.begin("composing", names.len() as u64);
    for name in names {
        ui.check().map_err(FacesError::from)?;
        let versions: Vec<PathBuf> = args.versions.iter().map(|folder| folder.join(name)).collect();
        let out = args.out.join(name).with_extension("png");
        match one(args, workers, &versions, &out) {
            Ok((text, value)) => ui.result(&text, value)?,
            // One picture without a face is no reason to leave the others.
            Err(report) if report.fault == tronie_base::Fault::Input => {
                ui.result(
                    &format!("{name}: {}", report.message),
                    json!({ "file": name, "problem": report.message }),
                )?;
            }
            Err(report) => return Err(report),
        }
        ui.advance(1);
    }
    ui.finish();
    Ok(())
}

/// What looks at faces: landmarks for all, identity where its network is here.
struct Workers {
    landmarks: Worker,
    identity: Option<Worker>,
}

impl Workers {
    fn open(eyes: &Eyes) -> Result<Self, Report> {
        let landmarks = eyes.open_for(Part::Landmarks68)?.0.worker();
        let identity = eyes.open_for(Part::Embedding).ok().map(|(analyzer, _)| analyzer.worker());
        Ok(Self { landmarks, identity })
    }

    /// Cosine distance of the face in two pictures; `None` without network or face.
    fn drift(&self, a: &Pixels, b: &Pixels) -> Result<Option<f32>, Report> {
        let Some(worker) = &self.identity else { return Ok(None) };
        let of = |pixels: &Pixels| -> Result<_, Report> {
            Ok(worker.faces(pixels)?.into_iter().next().and_then(|face| face.embedding))
        };
        let both = of(a)?.zip(of(b)?);
        Ok(both.map(|(a, b)| Metric::Cosine.distance(&a.values, &b.values)))
    }
}

/// A version read from its file.
struct Opened {
    name: String,
    sha256: String,
    pixels: Pixels,
    face: Face,
    is_synthetic: bool,
}

impl Opened {
    fn read(path: &Path, worker: &Worker) -> Result<Self, Report> {
        let bytes = read_file(path)?;
        let of_file = |error: tronie_image::ImageError| error.in_file(path);
        let pixels = decode(&bytes).map_err(of_file)?;
        let name = path.display().to_string();
        let Some(face) = worker.faces(&pixels)?.into_iter().next() else {
            return Err(Report::input(format!("{name} has no face"), Some("every version must show it")));
        };
        let is_synthetic = is_declared_synthetic(&read_text(&bytes).map_err(of_file)?);
        Ok(Self { name, sha256: sha256_hex(&bytes), pixels, face, is_synthetic })
    }
}

fn one(args: &Args, workers: &Workers, paths: &[PathBuf], out: &Path) -> Result<(String, Value), Report> {
    let opened: Vec<Opened> =
        paths.iter().map(|path| Opened::read(path, &workers.landmarks)).collect::<Result<_, _>>()?;
    let wanted = wanted(args, paths)?;
    let versions: Vec<Version<'_>> = opened
        .iter()
        .map(|version| Version { name: &version.name, pixels: &version.pixels, face: &version.face })
        .collect();
    let composition = compose(&versions, &wanted, args.blend)?;
    let Some(first) = opened.first() else {
        return Err(Report::input("there is no version", None));
    };
    let drift = workers.drift(&first.pixels, &composition.pixels)?;
    let sources = opened.iter().map(|version| json!({ "file": version.name, "sha256": version.sha256 }));
    let mut value = json!({
        "sources": sources.collect::<Vec<_>>(),
        "regions": composition.regions,
        "blend": args.blend,
        "identity_drift": drift,
    });
    let mut entries = vec![TextEntry::new(KEYWORD, value.to_string())];
    if opened.iter().any(|version| version.is_synthetic) {
        entries.push(synthetic_packet(concat!("tronie ", env!("CARGO_PKG_VERSION"))));
    }
    write_atomic(out, &encode(&composition.pixels, ImageFormat::Png, &entries)?)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("path".into(), json!(out));
    }
    Ok((said(out, &composition, drift, &opened), value))
}

fn said(out: &Path, composition: &Composition, drift: Option<f32>, opened: &[Opened]) -> String {
    let regions = composition.regions.iter().map(|region| {
        let name = opened.get(region.version).map_or("", |version| version.name.as_str());
        match (region.seam_pasted, region.seam) {
            (Some(before), Some(after)) => {
                format!("{} from {name} (seam {before:.1} to {after:.1})", region.region)
            }
            _ => format!("{} stays", region.region),
        }
    });
    let regions = regions.collect::<Vec<_>>().join(", ");
    let drift = drift.map_or(String::new(), |drift| format!("; identity drift {drift:.3}"));
    format!("{}: {regions}{drift}", out.display())
}

/// What `--regions` says.
fn wanted(args: &Args, paths: &[PathBuf]) -> Result<Vec<(&'static FaceRegion, Choice)>, Report> {
    if args.regions.is_empty() {
        let is_chosen = |region: &&FaceRegion| AUTOMATIC.contains(&region.id);
        return Ok(FACE_REGIONS.iter().filter(is_chosen).map(|region| (region, Choice::Best)).collect());
    }
    args.regions
        .iter()
        .map(|text| {
            let (region, version) = text.split_once('=').unwrap_or((text, "best"));
            Ok((face_region(region)?, choice(version, paths)?))
        })
        .collect()
}

/// A version by letter or file name.
fn choice(text: &str, paths: &[PathBuf]) -> Result<Choice, Report> {
    if text == "best" {
        return Ok(Choice::Best);
    }
    let is_named = |path: &PathBuf| {
        let parts = [path.file_name(), path.file_stem(), Some(path.as_os_str())];
        parts.into_iter().flatten().any(|name| name == text)
    };
    let letter = match text.as_bytes() {
        [letter] => usize::from(letter.to_ascii_uppercase()).checked_sub(usize::from(b'A')),
        _ => None,
    };
    let found = paths.iter().position(is_named).or(letter.filter(|&index| index < paths.len()));
    found.map(Choice::Version).ok_or_else(|| {
        let message = format!("there is no version \"{text}\" among {}", paths.len());
        Report::input(message, Some("name one by letter (A is the first), by its file, or write best"))
    })
}
