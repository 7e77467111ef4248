use super::*;

fn filled(width_px: u32, height_px: u32, value: u8) -> Pixels {
    Pixels::new(width_px, height_px, vec![value; (width_px * height_px * 3) as usize]).unwrap()
}

fn pixel(sheet: &Pixels, x: u32, y: u32) -> u8 {
    sheet.rgb()[((y * sheet.width_px() + x) * 3) as usize]
}

#[test]
fn tiles_lie_on_a_grid_with_gaps_and_keep_their_proportions() {
    let images = [filled(64, 64, 10), filled(64, 32, 20), filled(8, 16, 30)];
    let sheet = contact_sheet(&images, &[], 2, 64).unwrap();
    assert_eq!((sheet.width_px(), sheet.height_px()), (8 + 72 * 2, 8 + 72 * 2));
    assert_eq!(pixel(&sheet, 4, 4), BACKGROUND);
    assert_eq!(pixel(&sheet, 8, 8), 10);
    assert_eq!(pixel(&sheet, 71, 71), 10);
    assert_eq!(pixel(&sheet, 80, 8), BACKGROUND, "a wide picture is centred in its tile");
    assert_eq!(pixel(&sheet, 80, 24), 20);
    assert_eq!(pixel(&sheet, 24, 80), 30, "a small picture is enlarged");
    assert_eq!(pixel(&sheet, 20, 80), BACKGROUND);
}

#[test]
fn labels_stand_under_their_tiles() {
    let images = [filled(64, 64, 10), filled(64, 64, 20)];
    let labels = ["man".to_owned(), "young woman".to_owned()];
    let sheet = contact_sheet(&images, &labels, 5, 64).unwrap();
    assert_eq!((sheet.width_px(), sheet.height_px()), (8 + 72 * 2, 72 + 4 + 20 + 8));
    let inked = |left: u32, top: u32| {
        let area = (top..top + GLYPH_PX).flat_map(|y| (left..left + 64).map(move |x| (x, y)));
        area.filter(|&(x, y)| pixel(&sheet, x, y) == INK).count()
    };
    assert!(inked(8, 76) > 30);
    assert_eq!(inked(8, 86), 0, "the first label has one line");
    assert!(inked(80, 86) > 30, "the second has two");
}

#[test]
fn labels_wrap_at_spaces_and_show_other_scripts_as_question_marks() {
    let cases = [
        ("old man", 8, vec!["old man"]),
        ("middle-aged woman", 8, vec!["middle-a", "ged", "woman"]),
        ("a b c d e f g", 3, vec!["a b", "c d", "e f"]),
        ("Zoë", 8, vec!["Zo?"]),
        ("", 8, vec![""]),
    ];
    for (label, width, expected) in cases {
        assert_eq!(wrap(label, width), expected, "{label}");
    }
}

#[test]
fn sheets_that_cannot_be_made_are_refused() {
    let one = [filled(4, 4, 0)];
    for (images, labels, columns, tile_px) in [
        (&one[..0], 0, 3, 64),
        (&one[..], 2, 3, 64),
        (&one[..], 0, 0, 64),
        (&one[..], 0, 3, 0),
        (&one[..], 0, 3, 20_000),
    ] {
        assert!(contact_sheet(images, &vec![String::new(); labels], columns, tile_px).is_err());
    }
}
