//! Ages below 18, as numbers or words.

use std::sync::LazyLock;

use regex::Regex;

use super::fold::words;

const ADULT_FROM: u32 = 18;

/// Number words of English, from 0.
const NUMBERS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

struct Patterns {
    /// `2.5` -> `2`
    decimals: Regex,
    /// `5-7` -> `5 to 7`
    ranges: Regex,
    /// A number (or two) of years, before or behind what says so.
    years: Regex,
    aged: Regex,
    /// Months, weeks, days, school grades: young whatever the number.
    young: Regex,
}

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test")]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("the age patterns are valid");
    Patterns {
        decimals: pattern(r"(\d)[.,]\d+"),
        ranges: pattern(r"(\d)\s*[-–—~]\s*(\d)"),
        years: pattern(
            r"\b(\d{1,3})(?: (?:to|or|and|bis|a) (\d{1,3}))? ?(?:(?:(?:years?|yrs?|ys?|yers?|yeras?) ?(?:olds?|of age|young)|y ?os?|yos?|yrs|jahre? alt|jahrig(?:e[rsnm]?)?|jaar|ans|anos|anni|lat|yas(?:inda)?|лет|года?|годиков|годика?|летн\w+)\b|세|살|岁|歲|歳|才)",
        ),
        aged: pattern(r"\b(?:aged?|ages|age of|age is|at age|edad|idade|eta|alter|возрасте?) (\d{1,3})\b"),
        young: pattern(
            r"\b(?:\d{1,3} ?(?:months?|mos?|weeks?|days?) ?olds?|\d{1,2} ?(?:monate|mois|meses|mesi) (?:alt|de edad)|(?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth) grade(?:rs?)?)\b",
        ),
    }
});

/// Whether a folded text gives an age below 18.
pub(super) fn mentions_minor(text: &str) -> bool {
    let patterns = &*PATTERNS;
    let text = patterns.decimals.replace_all(text, "$1");
    let text = patterns.ranges.replace_all(&text, "$1 to $2");
    let text = numbers_as_digits(&words(&text));
    let is_young = |age: &str| age.parse().is_ok_and(|age: u32| age < ADULT_FROM);
    let mut years = patterns.years.captures_iter(&text).chain(patterns.aged.captures_iter(&text));
    years.any(|found| found.iter().skip(1).flatten().any(|age| is_young(age.as_str())))
        || patterns.young.is_match(&text)
}

/// "five" -> "5"; in "twenty five" it is no number of its own.
fn numbers_as_digits(words: &str) -> String {
    let mut text = String::from(" ");
    let mut is_behind_tens = false;
    for word in words.split_whitespace() {
        match NUMBERS.iter().position(|number| *number == word) {
            Some(number) if !is_behind_tens => text.push_str(&number.to_string()),
            _ => text.push_str(word),
        }
        text.push(' ');
        is_behind_tens = TENS.contains(&word);
    }
    text
}
