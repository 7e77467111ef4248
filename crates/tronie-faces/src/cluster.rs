//! Faces grouped by person.
//!
//! Agglomerative clustering with complete linkage: two groups are joined only while every pair of their faces is within
//! the threshold, so a group means what the threshold says. Connected components, the usual alternative, chain faces that
//! are far apart through ones between them.

use kodama::{Method, linkage};
use serde::Serialize;

use crate::FacesError;
use crate::verify::Metric;

/// Most faces that are clustered at once: their distances take 4 bytes for each pair, 0.8 GB.
pub const MAX_FACES: usize = 20_000;

/// Faces of one person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    /// Indices of its faces, ascending.
    pub members: Vec<usize>,
    /// Largest distance of two of them; 0 for a face alone.
    pub diameter: f32,
}

/// Groups unit vectors so that no two of a group are further apart than `threshold`; large groups first, then by their
/// first member.
///
/// # Errors
/// [`FacesError::TooManyFaces`].
pub fn cluster(vectors: &[&[f32]], metric: Metric, threshold: f32) -> Result<Vec<Cluster>, FacesError> {
    let n = vectors.len();
    if n > MAX_FACES {
        return Err(FacesError::TooManyFaces { found: n });
    }
    let pairs = vectors
        .iter()
        .enumerate()
        .flat_map(|(index, a)| vectors.iter().skip(index + 1).map(move |b| metric.distance(a, b)));
    let mut distances: Vec<f32> = pairs.collect();
    let tree = linkage(&mut distances, n, Method::Complete);
    // Entry i < n is face i; entry n + k is what step k joined, taken out again by the step that joins it further.
    let alone = |index| Some(Cluster { members: vec![index], diameter: 0.0 });
    let mut groups: Vec<Option<Cluster>> = (0..n).map(alone).collect();
    for step in tree.steps() {
        let joined = if step.dissimilarity <= threshold {
            let mut take = |index: usize| groups.get_mut(index).and_then(Option::take);
            let members = [take(step.cluster1), take(step.cluster2)].into_iter().flatten();
            Some(Cluster {
                members: members.flat_map(|group| group.members).collect(),
                diameter: step.dissimilarity,
            })
        } else {
            None
        };
        groups.push(joined);
    }
    let mut clusters: Vec<Cluster> = groups.into_iter().flatten().collect();
    clusters.iter_mut().for_each(|cluster| cluster.members.sort_unstable());
    clusters.sort_by(|a, b| b.members.len().cmp(&a.members.len()).then_with(|| a.members.cmp(&b.members)));
    Ok(clusters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_circle(degrees: &[f32]) -> Vec<[f32; 2]> {
        degrees.iter().map(|angle| angle.to_radians()).map(|angle| [angle.cos(), angle.sin()]).collect()
    }

    fn of(degrees: &[f32], threshold_deg: f32) -> Vec<Vec<usize>> {
        let vectors = on_circle(degrees);
        let vectors: Vec<&[f32]> = vectors.iter().map(<[f32; 2]>::as_slice).collect();
        let clusters = cluster(&vectors, Metric::Angular, threshold_deg / 180.0).unwrap();
        clusters.into_iter().map(|cluster| cluster.members).collect()
    }

    #[test]
    fn a_chain_is_not_one_person() {
        // Neighbors are 10 degrees apart, the ends 40: components would join all five.
        let clusters = of(&[0.0, 10.0, 20.0, 30.0, 40.0], 12.0);
        assert_eq!(clusters.iter().map(Vec::len).max(), Some(2));
    }

    #[test]
    fn separate_people_are_separate_and_large_groups_come_first() {
        assert_eq!(of(&[0.0, 90.0, 1.0, 91.0, 2.0, 180.0], 5.0), [vec![0, 2, 4], vec![1, 3], vec![5]]);
        assert_eq!(of(&[], 5.0), Vec::<Vec<usize>>::new());
        assert_eq!(of(&[7.0], 5.0), [vec![0]]);
    }

    proptest! {
        #[test]
        fn every_face_is_in_one_group_and_no_group_is_wider_than_the_threshold(
            degrees in proptest::collection::vec(0.0_f32..360.0, 0..40), threshold_deg in 1.0_f32..90.0,
        ) {
            let vectors = on_circle(&degrees);
            let vectors: Vec<&[f32]> = vectors.iter().map(<[f32; 2]>::as_slice).collect();
            let clusters = cluster(&vectors, Metric::Angular, threshold_deg / 180.0).unwrap();
            let mut all: Vec<usize> = clusters.iter().flat_map(|cluster| cluster.members.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..degrees.len()).collect::<Vec<_>>());
            for cluster in clusters {
                for &a in &cluster.members {
                    for &b in &cluster.members {
                        let distance = Metric::Angular.distance(vectors[a], vectors[b]);
                        prop_assert!(distance <= cluster.diameter + 1e-3 && cluster.diameter <= threshold_deg / 180.0);
                    }
                }
            }
        }
    }
}
