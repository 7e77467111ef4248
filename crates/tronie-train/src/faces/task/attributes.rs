//! Age, sex, expression, glasses, smile and hair color of a face.
//!
//! Age and expression are the teachers'. Sex is the prompt's word where there is one, else the teacher's where it is sure.
//! Glasses, smile and hair are the prompt's: what was asked for, which the picture does not always show.

use tronie_faces::own::{AGE_MIDDLE_YEARS, AGE_UNIT_YEARS, ATTRIBUTES_CROP, ATTRIBUTES_INPUT, N_HAIR};
use tronie_tensor::Tensor;
use tronie_tensor::burn::tensor::activation::log_softmax;

use super::{Example, Task, spoiled};
use crate::data::Draw;
use crate::faces::augment::Jitter;
use crate::faces::gallery::{Sex, Subject};
use crate::faces::graph::Answer;
use crate::faces::losses::logistic;

const N_EXPRESSIONS: usize = 7;
/// Numbers of an answer: age, sex, expressions, glasses, smile, hair colors.
const N: usize = 2 + N_EXPRESSIONS + 2 + N_HAIR;
const JITTER: Jitter = Jitter { turn_deg: 15.0, shift: 0.05, zoom: 1.12 };
/// How sure the teacher must be of the sex.
const SURE: f32 = 0.9;
/// From which probability of "happy" a face that no prompt speaks of smiles, and up to which it does not.
const SMILES: f32 = 0.9;
const SMILES_NOT: f32 = 0.05;

pub(super) const TASK: Task = Task {
    id: "attributes",
    input: ATTRIBUTES_INPUT,
    answer: Answer::Vector(N),
    has_masks: false,
    is_usable: |subject| {
        subject.face().is_some_and(|face| face.age_gender.is_some() && face.expression.is_some())
    },
    example,
    loss,
};

/// Targets in the order of the network's answer, then the weight of each.
fn example(subjects: &[Subject], index: usize, draw: Draw) -> Option<Example> {
    let subject = subjects.get(index)?;
    let face = subject.face()?;
    let side_px = ATTRIBUTES_INPUT.width_px;
    let image_from_crop = face.rect.square(ATTRIBUTES_CROP).image_from_crop(side_px, side_px);
    let crop = spoiled(&subject.pixels, &image_from_crop, (&ATTRIBUTES_INPUT, JITTER), draw);
    let (age_gender, expression, labels) = (face.age_gender?, face.expression?, &subject.labels);

    let teachers = age_gender.male;
    let is_sure = teachers >= SURE || teachers <= 1.0 - SURE;
    let male = labels.sex.map(|sex| f32::from(sex == Sex::Male)).or(is_sure.then_some(teachers));
    let happy = expression.happy;
    let is_clear = happy >= SMILES || happy <= SMILES_NOT;
    let smile = labels.smile.map(f32::from).or(is_clear.then_some(happy.round()));
    let hair = |color: usize| labels.hair.map(|hair| f32::from(hair as usize == color));

    let age = (age_gender.age_years - AGE_MIDDLE_YEARS) / AGE_UNIT_YEARS;
    let known = [Some(age), male].into_iter().chain(expression.probabilities().map(Some));
    let asked = [labels.glasses.map(f32::from), smile].into_iter().chain((0..N_HAIR).map(hair));
    let all: Vec<Option<f32>> = known.chain(asked).collect();
    let values = all.iter().map(|value| value.unwrap_or_default());
    let weights = all.iter().map(|value| f32::from(value.is_some()));
    Some(Example { input: crop.input, target: values.chain(weights).collect() })
}

/// Distance in age, cross entropy in everything else, each where something is known.
fn loss(answers: Tensor<4>, targets: Tensor<2>) -> Tensor<1> {
    let [b, _] = targets.dims();
    let answers = answers.reshape([b, N]);
    let values = targets.clone().narrow(1, 0, N);
    let weights = targets.narrow(1, N, N);
    let part = |x: &Tensor<2>, from: usize, n: usize| x.clone().narrow(1, from, n);
    let age = (part(&answers, 0, 1) - part(&values, 0, 1)).abs();
    let yes_or_no = |at: usize| logistic(part(&answers, at, 1), part(&values, at, 1)) * part(&weights, at, 1);
    let one_of = |at: usize, n: usize| {
        let likely = log_softmax(part(&answers, at, n), 1) * part(&values, at, n) * part(&weights, at, n);
        likely.sum_dim(1).neg()
    };
    let (glasses, hair) = (2 + N_EXPRESSIONS, 4 + N_EXPRESSIONS);
    let sum = age * 2.0
        + yes_or_no(1)
        + one_of(2, N_EXPRESSIONS)
        + yes_or_no(glasses) * 2.0
        + yes_or_no(glasses + 1)
        + one_of(hair, N_HAIR);
    sum.mean()
}
