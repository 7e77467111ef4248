//! Sentences in which a new word is learned: each true of nearly every portrait, so that what is special about a picture
//! goes into the vectors and not into the sentence.

/// A person or a thing.
pub(super) const OBJECT: [&str; 20] = [
    "a portrait of {}",
    "a portrait photograph of {}",
    "a portrait showing {}",
    "an image of {}",
    "an image that shows {}",
    "a picture with {} in it",
    "a single picture of {}",
    "a snapshot of {}",
    "a likeness of {}",
    "a view of {}",
    "a carefully made portrait of {}",
    "a simple portrait of {}",
    "a portrait with {} in the middle",
    "{}, a portrait",
    "{} in a portrait",
    "{} in front of the camera",
    "{}, photographed",
    "this is {}",
    "here we see {}",
    "look at {}",
];

/// A manner of making pictures.
pub(super) const STYLE: [&str; 20] = [
    "a portrait in the style of {}",
    "a face in the style of {}",
    "a person in the style of {}",
    "a head in the style of {}",
    "a figure in the style of {}",
    "an image in the style of {}",
    "one portrait in the style of {}",
    "a simple portrait in the style of {}",
    "a careful portrait in the style of {}",
    "a portrait after {}",
    "a portrait as {} would make it",
    "a portrait that looks like {}",
    "a face, {} style",
    "a portrait, {} style",
    "a {} style portrait",
    "a {} style face",
    "someone portrayed in the style of {}",
    "somebody seen in the style of {}",
    "the style of {}, shown on a portrait",
    "the style of {}",
];
