use proptest::prelude::*;

use super::*;

fn lora(text: &str) -> Result<LoraRef, NetworkError> {
    extract_networks(text).1.first().unwrap().lora()
}

#[test]
fn networks_are_taken_out_and_the_rest_is_untouched() {
    let (text, networks) =
        extract_networks("a <lora:film grain:0.8>portrait, <hypernet:x>  <lora:b:te=0.5:unet=1:2>");
    assert_eq!(text, "a portrait,   ");
    let kinds: Vec<&str> = networks.iter().map(|network| network.kind.as_str()).collect();
    assert_eq!(kinds, ["lora", "hypernet", "lora"]);
    assert_eq!(networks[0].positional, ["film grain", "0.8"]);
    assert_eq!(networks[2].positional, ["b", "2"]);
    assert_eq!(networks[2].named, [("te".to_owned(), "0.5".to_owned()), ("unet".to_owned(), "1".to_owned())]);
}

#[test]
fn the_second_strength_defaults_to_the_first_and_names_win() {
    let strengths = |text| lora(text).map(|lora| (lora.text_strength, lora.unet_strength)).unwrap();
    assert_eq!(strengths("<lora:a>"), (1.0, 1.0));
    assert_eq!(strengths("<lora:a:0.7>"), (0.7, 0.7));
    assert_eq!(strengths("<lora:a:0.7:-0.2>"), (0.7, -0.2));
    assert_eq!(strengths("<lora:a:0.7:0.2:te=0>"), (0.0, 0.2));
    assert_eq!(strengths("<lora:a:unet=0.4>"), (1.0, 0.4));
}

#[test]
fn a_reference_that_makes_no_sense_is_an_error_that_names_it() {
    assert_eq!(
        lora("<lora:film:loud>").unwrap_err().to_string(),
        "the strength of lora \"film\" is \"loud\", expected a number"
    );
    assert!(matches!(lora("<lora:film:inf>"), Err(NetworkError::BadStrength { .. })));
    let expected = "expected strengths alone, named te= or unet= or not at all";
    for (tag, found) in
        [("<lora:film:1:1:16>", "16"), ("<lora:film:dyn=16>", "dyn=16"), ("<lora:film:1:lbw=MID>", "lbw=MID")]
    {
        let message = format!("lora \"film\" has the argument \"{found}\", {expected}");
        assert_eq!(lora(tag).unwrap_err().to_string(), message);
    }
    assert_eq!(lora("<lora: :1>").unwrap_err().to_string(), "<lora:...> names no file");
}

#[test]
fn what_is_no_network_is_text() {
    for text in ["a < b", "<lora:", "<lora:>", "<:a>", "<a b:c>", "1 <2: 3", "<lora:film"] {
        assert_eq!(extract_networks(text), (text.to_owned(), Vec::new()));
    }
    let many = "<a:".repeat(300_000);
    assert_eq!(extract_networks(&many).0, many);
}

proptest! {
    #[test]
    fn any_text_is_accepted_and_never_grows(text in "[<>:=a1. ]{0,40}|\\PC{0,20}") {
        prop_assert!(extract_networks(&text).0.len() <= text.len());
    }
}
