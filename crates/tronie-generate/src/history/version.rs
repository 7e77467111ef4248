//! Versions of A1111's web UI, and which numbers they had.
//!
//! Reference: AUTOMATIC1111/stable-diffusion-webui, `modules/infotext_versions.py`: prompts changed by other rules before 1.6.0,
//! cumulative alphas were half precision before 1.7.0-225, refiners were switched to by steps before 1.8.0.

/// (major, minor, patch, commits since).
type Version = (u32, u32, u32, u32);

/// Numbers of a version's pictures: a row of [`tronie_sampling::PROFILES`], from the newest.
const PROFILES: [(Version, &str); 3] =
    [((1, 7, 0, 225), "a1111"), ((1, 6, 0, 0), "a1111_1_7"), ((0, 0, 0, 0), "a1111_1_5")];

/// The profile of a version such as `v1.7.0`, `v1.6.0-2-g4afaaf8a`, `1.10.1`, or Forge's `f2.0.1v1.10.1-previous-669-gdfdcbab6`; `None` for
/// other texts.
pub(super) fn profile_of(text: &str) -> Option<&'static str> {
    if text.starts_with('f') && text.contains('v') {
        return Some(PROFILES[0].1); // Forge began after 1.7.0-225.
    }
    let version = parse(text)?;
    PROFILES.iter().find(|row| version >= row.0).map(|row| row.1)
}

fn parse(text: &str) -> Option<Version> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('-');
    let mut numbers = parts.next()?.split('.').map(str::parse);
    let version = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    let since = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    numbers.next().is_none().then_some((version.0, version.1, version.2, since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_the_numbers_of_its_time() {
        let cases = [
            ("v1.10.1", Some("a1111")),
            ("1.8.0-RC", Some("a1111")),
            ("v1.7.0-225-gb0efbd05", Some("a1111")),
            ("v1.7.0-224-g1", Some("a1111_1_7")),
            ("v1.7.0", Some("a1111_1_7")),
            ("v1.6.0", Some("a1111_1_7")),
            ("v1.5.2", Some("a1111_1_5")),
            ("v1.3.1", Some("a1111_1_5")),
            ("f2.0.1v1.10.1-previous-669-gdfdcbab6", Some("a1111")),
            ("f0.0.17v1.8.0rc-latest-276-g29be1da7", Some("a1111")),
            ("ComfyUI", None),
            ("1.7", None),
            ("v1.7.0.1", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(profile_of(text), expected, "{text}");
        }
    }

    #[test]
    fn every_profile_exists() {
        for (_, id) in PROFILES {
            assert_eq!(tronie_sampling::find_profile(id).unwrap().id, id);
        }
    }
}
