use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn spec(counts: &[u64], weights: &[u32]) -> Spec {
    let values = weights.iter().enumerate();
    let values: Vec<_> =
        values.map(|(i, weight)| format!("{{ id = \"v{i}\", weight = {weight} }}")).collect();
    let rows = counts.iter().enumerate();
    let rows: String =
        rows.map(|(i, count)| format!("[[rows]]\nname = \"r{i}\"\ncount = {count}\n")).collect();
    let text = format!(
        "name = \"x\"\nversion = 1\ntemplate = \"{{a}}\"\n[attributes.a]\nvalues = [{}]\n{rows}",
        values.join(", ")
    );
    Spec::parse(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts_are_exact_and_every_prefix_is_balanced(counts in prop::collection::vec(1..40_u64, 1..12)) {
        let spec = spec(&counts, &[1]);
        let total = counts.iter().sum::<u64>();
        prop_assert_eq!(spec.n_images(), total);
        let mut made: BTreeMap<String, u64> = BTreeMap::new();
        let mut names = std::collections::BTreeSet::new();
        for index in 0..total {
            let item = spec.item(index).unwrap();
            prop_assert_eq!(item.index, index);
            prop_assert!(names.insert(item.file_name));
            *made.entry(item.cell).or_default() += 1;
            for cell in spec.cells() {
                // Rounding of this cell, and of the others together in proportion to its share
                let share = cell.count as f64 / total as f64;
                let due = share * (index + 1) as f64;
                let found = made.get(&cell.name).copied().unwrap_or(0) as f64;
                prop_assert!((found - due).abs() <= 1.0 + share * counts.len() as f64 / 2.0);
            }
        }
        for cell in spec.cells() {
            prop_assert_eq!(made[&cell.name], cell.count);
        }
    }

    #[test]
    fn seeds_differ_within_a_dataset(count in 1..300_u64, per in 1..5_u64) {
        let spec = spec(&[count, per], &[1, 2]);
        let seeds: std::collections::BTreeSet<_> = (0..spec.n_images()).map(|index| spec.item(index).unwrap().seed).collect();
        prop_assert_eq!(seeds.len() as u64, spec.n_images());
    }
}

#[test]
fn values_are_drawn_by_weight() {
    let spec = spec(&[20_000], &[1, 0, 3, 6]);
    let mut found = BTreeMap::new();
    for index in 0..20_000 {
        *found.entry(spec.item(index).unwrap().attributes["a"].clone()).or_insert(0_i64) += 1;
    }
    // Four standard deviations of a binomial with p = 0.1, 0.3, 0.6
    for (value, expected, tolerance) in [("v0", 2000, 170), ("v2", 6000, 260), ("v3", 12_000, 278)] {
        assert!((found[value] - expected).abs() < tolerance, "{found:?}");
    }
    assert!(!found.contains_key("v1"));
}

#[test]
fn equal_cells_take_turns() {
    let cells = spec(&[2, 2, 2], &[1]).cells().to_vec();
    assert_eq!(interleave(&cells), [0, 2, 1, 0, 2, 1]);
    let cells = spec(&[4, 1], &[1]).cells().to_vec();
    assert_eq!(interleave(&cells), [0, 0, 1, 0, 0]);
}

#[test]
fn an_attribute_is_balanced_before_every_cell_has_its_turn() {
    let cells = spec(&[3; 16], &[1]).cells().to_vec();
    let order = interleave(&cells);
    // The first half of the cells of a product is one value of its first attribute.
    for n in 1..order.len() {
        let first_half = order[..n].iter().filter(|&&cell| cell < 8).count();
        assert!((2 * first_half).abs_diff(n) <= 1, "{n}");
    }
}

#[test]
fn a_hundred_thousand_images_are_laid_out_at_once() {
    let spec = spec(&[33_333; 3], &[1]);
    assert_eq!(spec.item(99_998).unwrap().file_name, "images/099998.png");
}
