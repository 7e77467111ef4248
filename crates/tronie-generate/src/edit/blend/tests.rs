use super::*;

#[test]
fn a_mask_is_where_a_widened_map_exceeds_a_share_of_its_maximum() {
    let mut values = vec![0.0; 16];
    (values[5], values[15]) = (10.0, 2.0); // (1, 1) and (3, 3) of 4x4
    let looks = Looks { size: [4, 4], values };
    let expected = |rows: [&str; 4]| rows.join("").chars().map(|letter| letter == '#').collect::<Vec<_>>();
    assert_eq!(mask(&looks, [4, 4], 0.3), expected(["###.", "###.", "###.", "...."]));
    assert_eq!(mask(&looks, [4, 4], 0.1), expected(["###.", "###.", "####", "..##"]));
    let doubled = mask(&looks, [8, 4], 0.3);
    assert_eq!(doubled[..16], [&expected(["###.", "###.", "###.", "###."])[..]].concat()[..]);
    assert!(!doubled[4 * 7]);
}
