use super::*;
use crate::{Features, SsimSettings, diversity};

fn evaluation() -> Evaluation {
    let rows: Vec<Vec<f64>> = (0..30).map(|row| vec![f64::from(row % 7), f64::from(row % 3) + 1.0]).collect();
    let features = Features::from_rows("test", &rows).unwrap();
    let resampling = Resampling { n: 40, seed: 1 };
    let (diversity, warnings) = diversity(&features, resampling).unwrap();
    let hostile = "<script>alert(1)</script>";
    let pairs = vec![(hostile.to_owned(), Some("happy".to_owned())), ("happy".to_owned(), None)];
    let (confusion, _) = Confusion::of(hostile, &["happy", "sad"], &pairs, resampling).unwrap();
    Evaluation {
        name: format!("a & {hostile}"),
        n_pictures: 30,
        features: Some("file.npy".to_owned()),
        resampling,
        warnings,
        distribution: None,
        diversity: Some(diversity),
        memorisation: None,
        identity: None,
        confusions: vec![confusion],
        ssim: Some(SsimMatrix {
            settings: SsimSettings::Coursework,
            names: vec!["a.png".to_owned(), hostile.to_owned()],
            values: vec![vec![1.0, 0.25], vec![0.25, 1.0]],
            mean: 0.25,
        }),
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let html = page(&evaluation());
    for foreign in ["<script", "http://", "https://", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.contains("a &amp; &lt;script&gt;"));
    assert!(html.contains("Mean of 1 pairs: 0.2500 (settings: coursework)"));
    for tag in ["table", "svg", "ul", "tr", "td", "div"] {
        let opened = html.matches(&format!("<{tag} ")).count() + html.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn what_was_not_measured_is_not_in_the_page_nor_in_the_record() {
    let html = page(&evaluation());
    assert!(html.contains("<h2>Diversity</h2>") && !html.contains("<h2>Identity</h2>"));
    let record = serde_json::to_value(evaluation()).unwrap();
    assert!(record.get("identity").is_none() && record["diversity"]["vendi"]["interval"]["low"].is_number());
}
